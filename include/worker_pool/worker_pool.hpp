/*
 * worker_pool.hpp
 *	  The C++17 face of worker_pool.h: headers only, nothing to link against.
 *
 * Two regimes. The server's errors are longjmps, which skip destructors; C++'s are exceptions, which the server's frames
 * cannot take. A line of your code stands in one of the two, and you always know in which:
 *
 *	PG code		may call the server. Every automatic object in it is trivially destructible: no std::string, no
 *				std::vector, no lock guard alive where the server is called. It may throw.
 *	C++ code	owns things, and calls the server only through CallPg, or TryPg:
 *
 *					std::vector<std::string> names = Collect();
 *					const int64 id = CallPg([&]() noexcept { return api->enqueue(&task); });
 *
 *				The lambda is PG code, and throws nothing. An ERROR in it comes out as the exception PgError, which is
 *				empty: what happened stays with the server, whole, and goes on as the same ERROR at the end of the
 *				function that the server has called.
 *
 * Between the server and either of them stands Enter: the body of each function that the server calls, be it an entry
 * point, an SQL function, a hook or a callback. An exception does not pass it: PgError becomes the ERROR that it was,
 * std::bad_alloc 53200, any other XX000 with what() as its message. RegisterCycle and RegisterMain put your
 * function into one:
 *
 *		static void
 *		Refresh()
 *		{
 *			...
 *		}
 *
 *		void
 *		_PG_init()					declared as extern "C" PGDLLEXPORT
 *		{
 *			worker_pool_cpp::RegisterCycle<Refresh>("refresh");
 *		}
 *
 * A PgError that is caught is no error dealt with: without a rollback of the transaction, or of a subtransaction around it,
 * go on throwing. A FATAL ends the process by exit(): local destructors do not run.
 *
 * Include the standard library first, then the server's headers inside extern "C", then this. What stands here is invisible
 * to other libraries of the server, so that two with different versions of it do not meet.
 */
#ifndef WORKER_POOL_HPP
#define WORKER_POOL_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <type_traits>

extern "C"
{
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
}

#include "worker_pool.h"

#if defined(__GNUC__)
#define WORKER_POOL_LOCAL __attribute__((visibility("hidden")))
#else
#define WORKER_POOL_LOCAL
#endif

namespace worker_pool_cpp
{

/* --- the interface ------------------------------------------------------------------------------------------- */

/* nullptr where there is no pool. Never raises. */
WORKER_POOL_LOCAL inline const WorkerPoolApi *
Api()
{
	return worker_pool_api();
}

WORKER_POOL_LOCAL inline bool
Available()
{
	return Api() != nullptr;
}

/* The interface, or 55000. PG code. */
WORKER_POOL_LOCAL inline const WorkerPoolApi *
NeedApi()
{
	const WorkerPoolApi *const api = Api();

	if (api == nullptr)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("worker_pool is not there"),
						errhint("Add \"worker_pool\" to \"shared_preload_libraries\" and restart the "
								"server.")));
	return api;
}

/* --- between the regimes --------------------------------------------------------------------------------------- */

/* "An ERROR of the server is pending." Empty on purpose. */
struct PgError
{
};

/*
 * Runs PG code. False: an ERROR is pending; the state is as before but for what the code did. Let go of what you
 * own, and call Rethrow(), or roll a subtransaction back and FlushErrorState().
 */
template <typename Body>
WORKER_POOL_LOCAL bool
TryPg(Body body)
{
	static_assert(noexcept(body()), "it needs a noexcept lambda: no exception may leave it");
	static_assert(std::is_void_v<decltype(body())>, "it needs a lambda that returns nothing");
	sigjmp_buf *const saved_stack = PG_exception_stack;
	ErrorContextCallback *const saved_context_stack = error_context_stack;
	MemoryContext const saved_context = CurrentMemoryContext;
	const uint32 saved_holdoff = InterruptHoldoffCount;
	const uint32 saved_cancel_holdoff = QueryCancelHoldoffCount;
	sigjmp_buf jump_target;

	if (sigsetjmp(jump_target, 0) == 0)
	{
		PG_exception_stack = &jump_target;
		body();
		PG_exception_stack = saved_stack;
		error_context_stack = saved_context_stack;
		return true;
	}
	PG_exception_stack = saved_stack;
	error_context_stack = saved_context_stack;
	MemoryContextSwitchTo(saved_context);
	/* the ERROR has set both to zero; what is held from outside is still to be let go */
	InterruptHoldoffCount = saved_holdoff;
	QueryCancelHoldoffCount = saved_cancel_holdoff;
	return false;
}

/* Runs PG code and returns what it returns, which is trivial. Throws PgError where an ERROR is pending. */
template <typename Body>
WORKER_POOL_LOCAL auto
CallPg(Body body) -> decltype(body())
{
	using Result = decltype(body());
	static_assert(noexcept(body()), "it needs a noexcept lambda: no exception may leave it");

	if constexpr (std::is_void_v<Result>)
	{
		if (!TryPg(body))
			throw PgError();
	}
	else
	{
		static_assert(std::is_trivially_destructible_v<Result> &&
						  std::is_trivially_copyable_v<Result>,
					  "what comes out of PG code owns nothing");
		Result result = {};

		if (!TryPg([&body, &result]() noexcept { result = body(); }))
			throw PgError();
		return result;
	}
}

/* Goes on with the pending ERROR. PG code: nothing that owns is alive here, and this is in no catch block. */
[[noreturn]] WORKER_POOL_LOCAL inline void
Rethrow()
{
	PG_RE_THROW();
	pg_unreachable();
}

/* How a body ended that did not return. */
enum class Escape : int
{
	kPostgres,
	kMemory,
	kOther,
};

/* Raises it, outside of any catch block, since the exception is gone by then. */
[[noreturn]] WORKER_POOL_LOCAL inline void
RaiseEscaped(Escape escape, const char *what)
{
	if (escape == Escape::kPostgres)
		Rethrow();
	if (escape == Escape::kMemory)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A C++ allocation failed.")));
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR), errmsg("unexpected C++ exception: %s", what)));
	pg_unreachable();
}

/*
 * Runs the body of a function that the server calls, of either regime, and returns what it returns, which is trivial. No
 * exception leaves it.
 */
template <typename Body>
WORKER_POOL_LOCAL auto
Enter(Body body) -> decltype(body())
{
	/* an exception may have left blocks of PG_TRY, whose frames are gone */
	sigjmp_buf *const saved_stack = PG_exception_stack;
	ErrorContextCallback *const saved_context_stack = error_context_stack;
	Escape escape = Escape::kOther;
	char what[200] = "of unknown type";

	static_assert(std::is_trivially_destructible_v<Body>, "an ERROR would skip its destructor");
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
		/* the server's own, as its strlcpy is not there on all systems */
		snprintf(what, sizeof(what), "%s", exception.what());
	}
	catch (...)
	{
	}
	PG_exception_stack = saved_stack;
	error_context_stack = saved_context_stack;
	RaiseEscaped(escape, what);
}

/* --- services -------------------------------------------------------------------------------------------------- */

/* A C++ function as the server may call it. */
template <void (*body)()>
WORKER_POOL_LOCAL void
EntryPoint()
{
	Enter([]() { body(); });
}

/* The same for both kinds; the name stays the caller's. */
WORKER_POOL_LOCAL inline bool
Register(const char *name, std::uint32_t flags, void (*cycle)(), void (*main)())
{
	const WorkerPoolApi *const api = Api();

	if (api == nullptr)
		return false;

	auto *const service = static_cast<WorkerPoolService *>(
		MemoryContextAllocZero(TopMemoryContext, sizeof(WorkerPoolService)));

	service->size = sizeof(*service);
	service->name = name;
	service->flags = flags;
	service->cycle = cycle;
	service->main = main;
	api->register_service(service);
	return true;
}

/* Registers a function that does one round, in _PG_init. False: there is no pool. The name is to stay. PG code. */
template <void (*body)()>
WORKER_POOL_LOCAL bool
RegisterCycle(const char *name, std::uint32_t flags = 0)
{
	return Register(name, flags, &EntryPoint<body>, nullptr);
}

/* The same for a resident one. */
template <void (*body)()>
WORKER_POOL_LOCAL bool
RegisterMain(const char *name, std::uint32_t flags = 0)
{
	return Register(name, flags, nullptr, &EntryPoint<body>);
}

/* --- commands and tasks ------------------------------------------------------------------------------------------- */

/*
 * The structs of worker_pool.h with their defaults in place. They own nothing, so PG code may have them:
 *
 *		Command command;
 *		command.command = "vacuum";
 *		const int64_t id = Start(command);
 */
struct Command : WorkerPoolCommand
{
	WORKER_POOL_LOCAL
	Command()
		: WorkerPoolCommand{}
	{
		size = sizeof(WorkerPoolCommand);
	}
	WORKER_POOL_LOCAL explicit Command(const char *text)
		: Command()
	{
		command = text;
	}
};

struct Task : WorkerPoolTask
{
	WORKER_POOL_LOCAL
	Task()
		: WorkerPoolTask{}
	{
		size = sizeof(WorkerPoolTask);
	}
	WORKER_POOL_LOCAL explicit Task(const char *text)
		: Task()
	{
		command = text;
	}
};

static_assert(std::is_trivially_destructible_v<Command> && std::is_trivially_destructible_v<Task>);

/* All PG code; 55000 where there is no pool. What else they do stands in worker_pool.h. */

WORKER_POOL_LOCAL inline std::int64_t
Start(const Command &command)
{
	return NeedApi()->start_worker(&command);
}

WORKER_POOL_LOCAL inline std::int64_t
Enqueue(const Task &task)
{
	return NeedApi()->enqueue(&task);
}

WORKER_POOL_LOCAL inline const char *
WaitCommand(std::int64_t id, std::int64_t timeout_ms = -1)
{
	return NeedApi()->wait(WORKER_POOL_COMMAND, id, timeout_ms);
}

WORKER_POOL_LOCAL inline const char *
WaitTask(std::int64_t id, std::int64_t timeout_ms = -1)
{
	return NeedApi()->wait(WORKER_POOL_TASK, id, timeout_ms);
}

WORKER_POOL_LOCAL inline bool
CancelCommand(std::int64_t id, std::int64_t grace_ms = 5000)
{
	return NeedApi()->cancel(WORKER_POOL_COMMAND, id, grace_ms);
}

WORKER_POOL_LOCAL inline bool
CancelTask(std::int64_t id, std::int64_t grace_ms = 5000)
{
	return NeedApi()->cancel(WORKER_POOL_TASK, id, grace_ms);
}

} // namespace worker_pool_cpp

#endif /* WORKER_POOL_HPP */
