/*
 * session.hpp
 *	  What this session has in shared memory at the moment, and giving it back however the session ends.
 *
 *	what								taken by						given back by
 *	a request chunk not handed over		Submit							Submit; on ERROR its PG_CATCH
 *	the private record of run/query		Submit							ConsumeOutcome; interrupted: AbandonPrivate
 *	a claim of an outcome				ClaimOutcome					ReleaseClaim, ConsumeOutcome
 *	the entry among the waiters			Submit, WaitForCommand			EndWait
 *
 * and all of it, on FATAL, by one on_shmem_exit callback. Records and claims need no list of their own: the
 * record says whose it is (submitter_proc, reader_proc); a count here tells the callback whether to look.
 */
#pragma once

#include "feature/submit.hpp"

namespace worker_pool
{

/* Registers the exit callback at the first call; every path into the pool goes through it. */
void PrepareSession();

/* The chunk of a request between its allocation and its hand-over; InvalidDsaPointer otherwise. */
extern dsa_pointer unsent_request;
/* Frees it, if there is one. Never raises. */
void DropUnsentRequest();

/* Private records and claims of this session; counted with the lock held or not, it is local. */
extern int held_records;

/* Pool lock held exclusively: this process waits for the command from now on. */
void BeginWait(uint64 command_id, bool may_time_out, TimestampTz since);
/*
 * It waits no more. Needs no lock: others only ask whether pid is set, a word that is written whole, and
 * only this process sets it again.
 */
void EndWait();

/*
 * Gives up a private record whose submitter will not wait any longer: queued or finished, it is emptied;
 * running, its process is signalled and whoever finishes the record frees it.
 */
void AbandonPrivate(const CommandRef &command);

/*
 * Pushes outcomes out while there are more than worker_pool.keep_outcomes: claimed ones are not counted, so
 * there may be when claims were given up. Interrupts are held by the caller. Never raises.
 */
void TrimOutcomes();
/* A launcher that has not come within start_timeout of the server's start will not come (55000). */
void RefuseWithoutLauncher();
/*
 * Refuses to wait without limit for a command in a database that this transaction's own DDL holds closed
 * for the pool (55000): it could begin only after the wait.
 */
void RefuseClosedByMe(Oid database);

/* WP_FAULT for the inside of PG_TRY, which no C++ exception may pass: it becomes an ERROR on the spot. */
#ifdef WORKER_POOL_FAULTS
#define WP_FAULT_IN_TRY(point) EnterCpp([]() { WP_FAULT(point); })
#else
#define WP_FAULT_IN_TRY(point) ((void) 0)
#endif

} // namespace worker_pool
