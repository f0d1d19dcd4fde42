/*
 * queue_rank.cpp
 *	  Rows of task and schedule by queue: sessions in alter_queue and drop_queue.
 *
 * There is no index by queue: both verbs are rare, and an index would cost each task. A task that another
 * session has locked is waited for; one that was claimed meanwhile keeps its old rank, as it has begun. Rows
 * that another transaction inserts at the same time keep the rank that it has computed.
 */
#include "catalog/queue_rank.hpp"

#include "catalog/order_scan.hpp"
#include "catalog/row_scan.hpp"
#include "catalog/schedule_row.hpp"

namespace worker_pool
{

/* Does the row wait in the queue, with another rank than it should have? */
static bool
IsRankedWrong(const FormTask &form, int32 queue, int32 priority)
{
	return form.queue_id == queue && form.rank != RankOf(priority, form.priority) &&
		   IsOwnRow(form.installation, form.database) && !IsClaimHeld(form);
}

/* Stores the new rank in the newest version of the row. `tuple` is a copy of a version; the caller holds a snapshot. */
static void
RankAnew(Relation task, HeapTuple tuple, int32 queue, int32 priority)
{
	const int64 id = FormOf(tuple)->id;

	while (tuple != nullptr && IsRankedWrong(*FormOf(tuple), queue, priority))
	{
		const ItemPointerData place = tuple->t_self;

		FormOf(tuple)->rank = RankOf(priority, FormOf(tuple)->priority);

		const TM_Result result = UpdateRow(task, place, tuple, true);

		/* at once for the first of them; the rescan of the caller tells of all */
		if (result == TM_Ok && FormOf(tuple)->waits_for == 0)
			ArmItem(SpecOf(task, tuple));
		if (result != TM_Updated)
			return;
		CHECK_FOR_INTERRUPTS();

		const Snapshot snapshot = HoldSnapshot();

		tuple = FetchPlain(task, Index::kTaskId, id, snapshot);
		LetGoSnapshot(snapshot);
	}
}

void
RankTasksAnew(int32 queue, int32 priority)
{
	Relation task = OpenTable(Table::kTask, RowExclusiveLock);
	MemoryContext const scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool ranks", ALLOCSET_DEFAULT_SIZES);
	RowScan scan = BeginTableScan(task);
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		if (!IsRankedWrong(*FormOf(tuple), queue, priority))
			continue;

		MemoryContext const caller = MemoryContextSwitchTo(scratch);

		RankAnew(task, heap_copytuple(tuple), queue, priority);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
	}
	EndRowScan(&scan);
	MemoryContextDelete(scratch);
	table_close(task, NoLock);
	ArmRescan();
}

int64
CountUsersOfQueue(int32 queue)
{
	int64 users = 0;
	HeapTuple tuple;
	Relation relation = OpenTable(Table::kTask, AccessShareLock);
	RowScan scan = BeginTableScan(relation);

	while ((tuple = NextRow(scan)) != nullptr)
		users += FormOf(tuple)->queue_id == queue;
	EndRowScan(&scan);
	table_close(relation, AccessShareLock);

	relation = OpenTable(Table::kSchedule, AccessShareLock);
	scan = BeginTableScan(relation);
	while ((tuple = NextRow(scan)) != nullptr)
		users += ScheduleFormOf(tuple)->queue_id == queue;
	EndRowScan(&scan);
	table_close(relation, AccessShareLock);
	return users;
}

} // namespace worker_pool
