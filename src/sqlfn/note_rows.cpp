/*
 * note_rows.cpp
 *	  The trigger on the durable tables. Whoever writes into them by SQL: COPY, a restore, the apply worker of
 *	  logical replication; a superuser's own DML. The library's own writes are made at heap level and fire it
 *	  not.
 *
 * BEFORE ROW, because logical replication fires row triggers only, and ENABLE ALWAYS. It notes that the
 * database has rows that nobody pushed or told of (the end of the transaction tells memory) and leaves the row as it is. It
 * must not stand in the way of a restore where the library was not preloaded, or of pg_upgrade: there it does
 * nothing. Only rows of the identity are left out: CREATE EXTENSION and adopt() alone make those.
 */
#include "pg/guard.hpp"

#include "shmem/task_wake.hpp"

extern "C"
{
#include "commands/trigger.h"
}

namespace worker_pool
{

WP_SQL_FUNCTION(worker_pool_note_rows)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("worker_pool.note_rows() was not called as a trigger")));

	const auto *trigger = reinterpret_cast<const TriggerData *>(fcinfo->context);

	/* a foreign identity, which replication of all tables brings along: left out */
	if (strcmp(RelationGetRelationName(trigger->tg_relation), "installation") == 0)
		PG_RETURN_POINTER(nullptr);
	if (pool != nullptr)
		ArmRescan();
	PG_RETURN_POINTER(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
																 : trigger->tg_trigtuple);
}

} // namespace worker_pool
