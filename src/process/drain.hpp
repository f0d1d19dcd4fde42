/*
 * drain.hpp
 *	  Gets the pool's workers out of a database whose DDL the server refuses while sessions are in it.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* What becomes of workers that run a command or a task there. */
enum class Busy : uint8
{
	kTerminate,
	/* as soon as no other session is in the database, for which the server would refuse the DDL; else as kLeave */
	kTerminateWhenAlone,
	kLeave, /* they finish; the DDL waits for them as it waits for any session */
};

/*
 * Closes the database for the pool until the (sub)transaction ends, tells its workers to leave, and waits
 * until they are out, 5 seconds at most. Interruptible. The caller has checked that the command may and
 * can run; it is not told whether all are out: the command itself finds out.
 */
void DrainDatabase(Oid database, Busy busy);

} // namespace worker_pool
