/*
 * ready_counts.cpp
 *	  What the views and explain_task see of the ready queue. Sessions; under the shared lock, for a bounded time.
 *
 * One task, one database's sums, and the counts by queue. The last have no counters of their own: items are walked
 * in steps, so what changes meanwhile may be counted in the one state, the other, or not at all.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

/* Counting is stopped there: "at least as many". */
static constexpr int kMostBefore = 1000;
/* Items looked at in one hold of the lock. */
static constexpr int kItemsAHold = 2048;

/* A taken task that holds the limit; 0: not known. */
static int64
HolderOf(const TaskLimit &limit)
{
	int64 holder = 0;

	if (limit.kind == LimitKind::kQueue)
		return 0;
	ForEachTaken(
		[&limit, &holder](int32 index)
		{
			const ReadyItem &item = ItemAt(index);

			if (limit.kind == LimitKind::kCareful ? item.careful
												  : item.spec.database == limit.database_oid &&
														item.held_concurrency == limit.key)
				holder = item.spec.id;
		});
	return holder;
}

static int
CountBefore(int32 index)
{
	OrderTree tree(&TaskPairAt(ItemAt(index).pair).tree);
	int before = 0;

	for (int32 i = tree.Smallest(); i != index && i != kNone && before < kMostBefore;
		 i = tree.Next(i))
		before++;
	return before;
}

ItemView
ViewItem(Oid database, int64 id)
{
	ItemView view = {};
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindItem(ItemKind::kTask, database, id);

	view.slot = kNone;
	if (index == kNone)
		return view;

	const ReadyItem &item = ItemAt(index);

	view.state = item.state;
	view.begun = item.begun;
	view.spec = item.spec;
	if (item.state == ItemState::kTaken)
		view.slot = item.slot;
	if (item.state == ItemState::kParked)
	{
		view.limit = LimitAt(item.limit).kind;
		view.limit_holder = HolderOf(LimitAt(item.limit));
	}
	if (item.state == ItemState::kReady)
		view.ready_before = CountBefore(index);
	return view;
}

/* Finally failed ones of all queues. */
static int64
FailedTasks(Oid database)
{
	int64 failed = 0;

	for (int i = 0; i < ready_table->used_stats; i++)
		if (ready_table->stats[i].stats.database == database)
			failed += ready_table->stats[i].stats.failed;
	return failed;
}

bool
GetDatabaseTasks(Oid oid, DatabaseTasks *tasks)
{
	*tasks = {};
	tasks->next_due = DT_NOEND;

	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindTaskDatabase(oid);

	tasks->failed = FailedTasks(oid);
	if (index == kNone)
		return tasks->failed > 0;

	const TaskDatabase &database = TaskDatabaseAt(index);

	tasks->ready = database.ready;
	tasks->delayed = database.delayed;
	tasks->parked = database.parked;
	tasks->running = database.begun;
	tasks->next_due = std::min(database.first_due, database.next_look);
	tasks->overflowed = database.rescan || database.next_look != DT_NOEND;
	tasks->pause = database.pause;
	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
	{
		const TaskPair &pair = TaskPairAt(i);

		tasks->overflowed |= pair.more;
		if (pair.ready > 0 &&
			(tasks->oldest_ready == 0 || pair.waiting_since < tasks->oldest_ready))
			tasks->oldest_ready = pair.waiting_since;
	}
	return true;
}

/* The queue's entry, made when it is missing; nullptr: there is no room. */
static QueueTasks *
NeedQueue(int32 queue, QueueTasks *queues, int capacity, int *count)
{
	for (int i = 0; i < *count; i++)
		if (queues[i].queue == queue)
			return &queues[i];
	if (*count == capacity)
		return nullptr;
	queues[*count] = {queue, 0, 0, 0};
	return &queues[(*count)++];
}

static void
CountInQueue(const ReadyItem &item, QueueTasks *queue)
{
	queue->ready += item.state == ItemState::kReady ? 1 : 0;
	queue->waiting += item.state != ItemState::kTaken ? 1 : 0;
	queue->running += item.begun ? 1 : 0;
}

int
GetQueueTasks(Oid database, QueueTasks *queues, int capacity)
{
	int count = 0;

	for (int32 start = 0; start < kItems; start += kItemsAHold)
	{
		LockScope lock(TaskLock(), LW_SHARED);

		for (int32 i = start; i < std::min<int32>(start + kItemsAHold, kItems); i++)
		{
			const ReadyItem &item = ItemAt(i);

			if (item.state == ItemState::kFree || item.spec.database != database ||
				item.spec.kind != ItemKind::kTask)
				continue;

			QueueTasks *queue = NeedQueue(item.spec.queue, queues, capacity, &count);

			if (queue != nullptr)
				CountInQueue(item, queue);
		}
	}
	return count;
}

} // namespace worker_pool
