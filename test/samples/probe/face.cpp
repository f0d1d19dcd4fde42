/*
 * face.cpp
 *	  The probe's part in C++: what worker_pool.hpp promises, used and provoked.
 *
 *		cpp_cycle			owns a vector of strings while the server counts pg_class: [cpp] the number
 *		cpp_throw			a std::runtime_error: XX000 "... probe: thrown"
 *		cpp_bad_alloc		53200
 *		cpp_guarded_error	an ERROR 22012 of the server goes through a frame with a destructor
 *		cpp_main			resident: a guarded [cpp round], cycle_done, and sleeps {1 s}
 *		probe_cpp_run		throw | bad_alloc | error (all three: the same, in a session) | caught (an ERROR in a subtransaction is
 *							rolled back: 'caught'); probe_destroyed() counts destructors that ran in this process
 */
#include <stdexcept>
#include <string>
#include <vector>

extern "C"
{
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
}

#include "worker_pool/worker_pool.hpp"

#include "probe.h"

using worker_pool_cpp::CallPg;
using worker_pool_cpp::Enter;
using worker_pool_cpp::PgError;
using worker_pool_cpp::TryPg;

namespace
{

int destroyed = 0;

/* Owns memory of C++, and counts its end. */
struct Owner
{
	std::vector<std::string> lines = {"a line that is too long to stand in the string itself",
									  "and another one of that kind"};

	~Owner()
	{
		destroyed++;
	}
};

/* --- C++ code: owns, and calls the server through CallPg only ---------------------------------------------------------- */

void
CountClasses()
{
	const Owner owner;
	const auto run = []() noexcept -> char *
	{
		MemoryContext caller = CurrentMemoryContext;

		SPI_connect();
		SPI_execute("SELECT count(*) FROM pg_class", true, 1);

		char *const count = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		char *const copy = MemoryContextStrdup(caller, count);

		SPI_finish();
		return copy;
	};
	char *const count = CallPg(run);
	const std::string text = std::string(count) + " of " + std::to_string(owner.lines.size());

	CallPg([&text]() noexcept { probe_note("cpp", text.c_str()); });
}

void
ThrowError()
{
	const Owner owner;

	throw std::runtime_error("probe: thrown");
}

void
ThrowBadAlloc()
{
	const Owner owner;

	throw std::bad_alloc();
}

void
GuardedError()
{
	const Owner owner;

	CallPg(
		[]() noexcept
		{
			SPI_connect();
			SPI_execute("SELECT 1/0", true, 1);
			SPI_finish();
		});
}

/* --- PG code: owns nothing ------------------------------------------------------------------------------------------------ */

void
NoteRound() noexcept
{
	MemoryContext caller = CurrentMemoryContext;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	probe_note("cpp round", nullptr);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}

void
ResidentMain()
{
	const WorkerPoolApi *const api = worker_pool_cpp::Api();

	while (!api->should_stop())
	{
		{
			const Owner owner;

			CallPg([]() noexcept { NoteRound(); });
		}
		api->cycle_done();
		(void) api->sleep(1000);
	}
}

/* An ERROR that is dealt with: its subtransaction is rolled back, outside of any frame that owns. */
const char *
CatchError()
{
	MemoryContext const caller = CurrentMemoryContext;
	ResourceOwner const resources = CurrentResourceOwner;

	BeginInternalSubTransaction(nullptr);

	const bool done = TryPg(
		[]() noexcept
		{
			SPI_connect();
			SPI_execute("SELECT 1/0", true, 1);
		});

	if (!done)
	{
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	else
		ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = resources;
	return done ? "done" : "caught";
}

const char *
Run(const char *what)
{
	if (strcmp(what, "throw") == 0)
		ThrowError();
	else if (strcmp(what, "bad_alloc") == 0)
		ThrowBadAlloc();
	else if (strcmp(what, "error") == 0)
		GuardedError();
	else if (strcmp(what, "caught") == 0)
		return CatchError();
	return "nothing";
}

} // namespace

void
register_face(void)
{
	using namespace worker_pool_cpp;

	RegisterCycle<CountClasses>("cpp_cycle");
	RegisterCycle<ThrowError>("cpp_throw");
	RegisterCycle<ThrowBadAlloc>("cpp_bad_alloc");
	RegisterCycle<GuardedError>("cpp_guarded_error");
	RegisterMain<ResidentMain>("cpp_main");
}

extern "C"
{
	PG_FUNCTION_INFO_V1(probe_cpp_start_worker);
	PG_FUNCTION_INFO_V1(probe_cpp_run);
	PG_FUNCTION_INFO_V1(probe_destroyed);
}

Datum
probe_cpp_start_worker(PG_FUNCTION_ARGS)
{
	return Enter(
		[fcinfo]()
		{
			const worker_pool_cpp::Command command(text_to_cstring(PG_GETARG_TEXT_PP(0)));

			return Int64GetDatum(worker_pool_cpp::Start(command));
		});
}

Datum
probe_cpp_run(PG_FUNCTION_ARGS)
{
	return Enter(
		[fcinfo]()
		{
			const char *const result = Run(text_to_cstring(PG_GETARG_TEXT_PP(0)));

			return PointerGetDatum(cstring_to_text(result));
		});
}

Datum
probe_destroyed(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_INT32(destroyed);
}
