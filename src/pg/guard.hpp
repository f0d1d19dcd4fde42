/*
 * guard.hpp
 *	  The crossings between PostgreSQL's error regime (longjmp) and C++'s (exceptions).
 *
 * PG code may longjmp at any call into the server, so its automatic objects are trivially destructible.
 * Pure code (src/core) may throw and own. The two meet only here:
 *
 *	EnterCpp(body)	the body of every extern "C" entry. A C++ exception that escapes the body becomes an
 *					ordinary ERROR; std::bad_alloc becomes 53200. The exception object is destroyed (we
 *					leave the catch block) before ereport jumps, else it would leak.
 *	CallPg(lambda)	runs PostgreSQL code from inside C++ code that owns things; an ERROR is turned into
 *					the empty PgError tag, so that destructors run. The ErrorData stays on elog's own
 *					stack: EnterCpp re-throws it whole.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* "A PostgreSQL error is pending on elog's stack." Carries nothing on purpose. */
struct PgError
{
};

template <typename Body>
auto
CallPg(Body body) -> decltype(body())
{
	static_assert(noexcept(body()), "CallPg needs a noexcept lambda: longjmp is its only way out");
	using Result = decltype(body());
	sigjmp_buf *const saved_stack = PG_exception_stack;
	ErrorContextCallback *const saved_context_stack = error_context_stack;
	MemoryContext const saved_context = CurrentMemoryContext;
	const uint32 saved_holdoff = InterruptHoldoffCount;
	const uint32 saved_cancel_holdoff = QueryCancelHoldoffCount;
	sigjmp_buf jump_target;

	if (sigsetjmp(jump_target, 0) == 0)
	{
		PG_exception_stack = &jump_target;
		if constexpr (std::is_void_v<Result>)
		{
			body();
			PG_exception_stack = saved_stack;
			error_context_stack = saved_context_stack;
			return;
		}
		else
		{
			Result result = body();
			PG_exception_stack = saved_stack;
			error_context_stack = saved_context_stack;
			return result;
		}
	}

	PG_exception_stack = saved_stack;
	error_context_stack = saved_context_stack;
	MemoryContextSwitchTo(saved_context);
	/* errfinish zeroed both; a later lock release would drive them below zero */
	InterruptHoldoffCount = saved_holdoff;
	QueryCancelHoldoffCount = saved_cancel_holdoff;
	throw PgError();
}

enum class Escape : uint8
{
	kNone,
	kPostgres,
	kMemory,
	kOther,
};

/*
 * An exception escaped from a C++ body in this process. Where it may have passed frames of the server (their
 * PG_CATCH blocks did not run), the process should not go on for long: workers retire.
 */
inline bool exception_escaped = false;

/* Raises what escaped from a C++ body, outside of any catch block. Does not return. */
[[noreturn]] inline void
RaiseEscaped(Escape escape, const char *what)
{
	if (escape == Escape::kPostgres)
		PG_RE_THROW();
	exception_escaped = true;
	if (escape == Escape::kMemory)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				 errdetail("A C++ allocation of worker_pool failed.")));
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR), errmsg("worker_pool: unexpected C++ exception"),
			 errdetail("%s", what)));
	pg_unreachable();
}

template <typename Body>
auto
EnterCpp(Body body) -> decltype(body())
{
	/* an exception may leave PG_TRY blocks of the body without their epilogue: their frames are gone */
	sigjmp_buf *const saved_stack = PG_exception_stack;
	ErrorContextCallback *const saved_context_stack = error_context_stack;
	Escape escape = Escape::kNone;
	char what[160] = "unknown exception";

	try
	{
		return body();
	}
	catch (const PgError &)
	{
		escape = Escape::kPostgres;
	}
	catch (const std::bad_alloc &)
	{
		escape = Escape::kMemory;
	}
	catch (const std::exception &exception)
	{
		escape = Escape::kOther;
		strlcpy(what, exception.what(), sizeof(what));
	}
	catch (...)
	{
		escape = Escape::kOther;
	}
	PG_exception_stack = saved_stack;
	error_context_stack = saved_context_stack;
	RaiseEscaped(escape, what);
}

} // namespace worker_pool

/*
 * Defines an SQL-callable function. Its body may throw C++ exceptions and PostgreSQL errors alike:
 *
 *		WP_SQL_FUNCTION(worker_pool_args) { ... PG_RETURN_NULL(); }
 */
#define WP_SQL_FUNCTION(name)                                                                      \
	extern "C"                                                                                     \
	{                                                                                              \
		PG_FUNCTION_INFO_V1(name);                                                                 \
	}                                                                                              \
	static Datum name##_body(FunctionCallInfo fcinfo);                                             \
	extern "C" PGDLLEXPORT Datum name(PG_FUNCTION_ARGS)                                            \
	{                                                                                              \
		return worker_pool::EnterCpp([fcinfo]() { return name##_body(fcinfo); });                  \
	}                                                                                              \
	static Datum name##_body(FunctionCallInfo fcinfo)
