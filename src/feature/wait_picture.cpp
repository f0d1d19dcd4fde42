/*
 * wait_picture.cpp
 *	  Takes the picture of who waits for what. Runs in a process that looks for a knot (deadlock.cpp).
 *
 * Under the pool lock, shared: the waiters, with the state of the commands that they wait for and the processes of
 * the tasks that run; the slots. Then, one by one under the lock of the ready queue, which is never held together
 * with the pool's: what becomes of tasks that do not run. The parts are not of one instant, and need not be.
 */
#include "feature/wait_picture.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/service_table.hpp"
#include "shmem/waiters.hpp"

namespace worker_pool
{

/* --- commands ------------------------------------------------------------------------------------- */

/* Pool lock held: what the waiter's command is at. */
static void
SeeCommand(WaiterSeen *seen)
{
	const int index = FindCommand(seen->command_id);

	if (index == kNone)
		return;

	const CommandRecord &record = CommandAt(index);

	if (record.state == CommandState::kRunning && record.slot != kNone)
	{
		seen->worker_pid = SlotAt(record.slot).pid;
		if (seen->worker_pid != 0)
			seen->what = WaitsFor::kWorker;
	}
	if (record.state != CommandState::kQueued)
		return;
	seen->what = WaitsFor::kSlot;
	seen->target = record.target;
	if (record.pair != kNone)
		seen->role_limit = PairAt(record.pair).role_limit;
	if (IsBlocked(record.target.database))
		seen->closer_pid = FindDatabase(record.target.database)->closer;
}

/* --- tasks ---------------------------------------------------------------------------------------- */

/* The process that runs that task, or 0. */
static int
FindTaskWorker(const Picture &picture, Oid database, int64 task_id)
{
	for (int i = 0; i < picture.slot_count; ++i)
	{
		const SlotSeen &slot = picture.slots[i];

		if (slot.task_id == task_id && slot.target.database == database &&
			slot.state == SlotState::kRunning)
			return slot.pid;
	}
	return 0;
}

/* Pool lock not held: of a task that could run, who would run it and what stands in the way. */
static void
SeeReadyTask(WaiterSeen *seen, const ItemSpec &spec)
{
	LockScope lock(PoolLock(), LW_SHARED);

	seen->what = WaitsFor::kSlot;
	seen->target = {spec.database, spec.role, 0};
	seen->role_limit = RoleLimitOf(spec.role);
	if (IsBlocked(spec.database))
		seen->closer_pid = FindDatabase(spec.database)->closer;
}

/* The same: of a task that is held back. */
static void
SeeParkedTask(const Picture &picture, WaiterSeen *seen, const ItemView &view)
{
	PauseNote pause = {};

	if (view.limit == LimitKind::kConcurrency && view.limit_holder != 0)
	{
		seen->holder = view.limit_holder;
		seen->worker_pid = FindTaskWorker(picture, seen->database, view.limit_holder);
		if (seen->worker_pid != 0)
			seen->what = WaitsFor::kHolder;
	}
	else if (view.limit == LimitKind::kQueue &&
			 !GetPause(seen->database, view.spec.queue, &pause) &&
			 QueueMaxRunning(seen->database, view.spec.queue) > 0)
	{
		seen->what = WaitsFor::kQueue;
		seen->queue = view.spec.queue;
	}
}

/*
 * The same: of any task. One that is delayed, blocked, paused, or taken but not begun moves by itself, or by
 * somebody's hand: a batch that hangs is taken apart long before anybody looks for a knot.
 */
static void
SeeTask(const Picture &picture, WaiterSeen *seen)
{
	PauseNote pause = {};

	seen->worker_pid = FindTaskWorker(picture, seen->database, seen->task_id);
	if (seen->worker_pid != 0)
	{
		seen->what = WaitsFor::kWorker;
		return;
	}
	if (GetPause(seen->database, -1, &pause))
		return;

	const ItemView view = ViewItem(seen->database, seen->task_id);

	if (view.state == ItemState::kReady)
		SeeReadyTask(seen, view.spec);
	else if (view.state == ItemState::kParked)
		SeeParkedTask(picture, seen, view);
}

/* Of what queue are the tasks that run? Asked only when somebody waits for a queue. */
static void
SeeQueues(Picture *picture)
{
	for (int i = 0; i < picture->slot_count; ++i)
	{
		SlotSeen &slot = picture->slots[i];

		if (slot.task_id != 0)
			slot.task_queue = ViewItem(slot.target.database, slot.task_id).spec.queue;
	}
}

/* --- all of it ------------------------------------------------------------------------------------ */

/* Pool lock held: copies one waiter. */
static WaiterSeen
SeeWaiter(const Waiter &waiter)
{
	WaiterSeen seen = {};

	seen.pid = waiter.pid;
	seen.may_time_out = waiter.may_time_out;
	seen.since = waiter.since;
	seen.command_id = waiter.command_id;
	seen.task_id = waiter.task_id;
	seen.database = waiter.database;
	seen.what = WaitsFor::kNothing;
	seen.queue = kNoTaskQueue;
	if (seen.command_id != 0)
		SeeCommand(&seen);
	return seen;
}

/* Lock held: is it held by who never ends by itself? */
static bool
Stays(const WorkerSlot &slot)
{
	return slot.kind == SlotKind::kLease ||
		   (slot.kind == SlotKind::kService && slot.service != kNone &&
			ServiceAt(slot.service).resident);
}

static void
CopyAll(Picture *picture)
{
	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < WaiterCount(); ++i)
	{
		if (WaiterAt(i).pid != 0)
			picture->waiters[picture->waiter_count++] = SeeWaiter(WaiterAt(i));
	}
	for (int i = 0; i < SlotCount(); ++i)
	{
		const WorkerSlot &slot = SlotAt(i);
		const uint64 command_id = slot.command == kNone ? 0 : CommandAt(slot.command).id;

		picture->slots[i] = {static_cast<int>(slot.pid),
							 slot.state,
							 slot.kind,
							 slot.target,
							 command_id,
							 slot.task_id,
							 kNoTaskQueue,
							 Stays(slot)};
	}
}

void
TakePicture(Picture *picture)
{
	bool queues = false;

	picture->waiters =
		static_cast<WaiterSeen *>(palloc0(sizeof(WaiterSeen) * static_cast<Size>(WaiterCount())));
	picture->slots =
		static_cast<SlotSeen *>(palloc0(sizeof(SlotSeen) * static_cast<Size>(SlotCount())));
	picture->slot_count = SlotCount();
	CopyAll(picture);
	for (int i = 0; i < picture->waiter_count; ++i)
	{
		WaiterSeen &waiter = picture->waiters[i];

		if (waiter.task_id == 0 || waiter.may_time_out)
			continue;
		SeeTask(*picture, &waiter);
		queues |= waiter.what == WaitsFor::kQueue;
	}
	if (queues)
		SeeQueues(picture);
}

int
FindWaiter(const Picture &picture, int pid)
{
	for (int i = 0; i < picture.waiter_count; ++i)
	{
		if (picture.waiters[i].pid == pid)
			return i;
	}
	return kNone;
}

int
FindSlot(const Picture &picture, int pid)
{
	for (int i = 0; i < picture.slot_count; ++i)
	{
		if (picture.slots[i].pid == pid && picture.slots[i].state != SlotState::kFree)
			return i;
	}
	return kNone;
}

bool
IsInSet(const SlotSeen &slot, const NodeNote &set)
{
	switch (set.place)
	{
		case Place::kPoolSlots:
			return true;
		case Place::kDatabaseSlots:
			return slot.state != SlotState::kFree && slot.target.database == set.oid;
		case Place::kRoleSlots:
			return slot.state != SlotState::kFree && slot.target.role == set.oid;
		case Place::kTaskSlots:
			return IsShared(slot.kind) &&
				   (slot.state == SlotState::kStarting || slot.state == SlotState::kAssigned ||
					slot.state == SlotState::kRunning);
		case Place::kQueueTasks:
			return slot.task_id != 0 && slot.state == SlotState::kRunning &&
				   slot.target.database == set.oid && slot.task_queue == set.queue;
		case Place::kProcess:
			break;
	}
	return false;
}

int
CountTaken(const Picture &picture, const NodeNote &set)
{
	int count = 0;

	for (int i = 0; i < picture.slot_count; ++i)
		count += picture.slots[i].state != SlotState::kFree && IsInSet(picture.slots[i], set);
	return count;
}

} // namespace worker_pool
