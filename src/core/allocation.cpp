/*
 * allocation.cpp
 *	  The rules by which pairs share the pool. Run by the launcher (PlanActions) and, for on_full =>
 *	  'error', by a session (CouldStartNow); nothing here can fail, wait or allocate.
 *
 * Who is served. A pair wants one worker for each queued command, less its workers that are starting;
 * its running workers do not count, they take the next command by themselves. Pairs are served in order of
 * their oldest command, one worker a round, so that a pair with a thousand commands does not take every
 * free slot before a pair with one younger command has its first. A pair that has waited for
 * fairness_interval and has no worker at all goes before all others, the oldest first.
 *
 * Tasks. The tasks of a pair are a demand of their own, served by the same rules, in the same order, but in
 * at most `task_slots` slots: what that leaves (worker_pool.reserved_workers) only commands and visits get.
 * A slot counts as the tasks' from the start of a worker for tasks, or the moment at which one turns to
 * them, until it is idle, runs a command, or its process is gone. A worker of the pair serves both: what
 * is starting or idle counts for the commands first and what is left of it for the tasks, and while
 * commands of the pair wait for workers to come its tasks ask for none, because a new worker would take the
 * commands. An idle worker has only to be told that there is room for one more (kWake); it may turn to tasks by
 * itself only while nobody's tasks wait for room (tasks_wait), else it would pass by who waits longer. Where the limit of
 * tasks is what stops a pair, it is measured by the slots that its tasks hold, and so is the pair that is
 * to give way; workers that are idle or run commands are no help to it there.
 *
 * Services. A service that is due is a demand for one process, a pair of its own, and shares in every rule with
 * the tasks of a pair: the same order (its age is the time since it was due), the same limits, the same
 * `task_slots`. Its process holds one of these while a cycle runs, and none while it waits for the next: then it
 * is an idle worker like any other, which may be evicted for whoever needs the slot, and comes back when the
 * service is due; only idle_timeout does not send it away, since it will be needed again. It is told that there
 * is room (kWake) as a worker for tasks is, but never replaced, however long it does not come: a service has one
 * process at most. A resident main (SlotView.resident) and a lease of another extension never end by themselves:
 * they are asked for nothing, and are no help to anybody who waits. Who lets them begin sees to it that fewer of
 * them run than tasks and services may have slots.
 *
 * Visits. A database that wants a look is a demand for one worker, which any slot serves; the pool's is the
 * only limit that it knows. It comes after all others, until it has waited for fairness_interval; from then
 * on by its age, but never before a pair that has waited so long and has no worker.
 *
 * With what. A free slot; else that of an idle worker of another pair, the longest idle first. Where a
 * limit (pool, database, role, tasks) is what stops the pair, only slots that count against that limit
 * help. What is already leaving counts as room to come, so one command never drives two workers out. A pair
 * that got nothing and has waited for fairness_interval asks a busy worker to give way after its command or
 * task: of the pair with most slots, the one that runs longest; one more for each further interval (of a
 * second at least), because the first one asked may happen to run for hours while the others end every few
 * milliseconds. A pair that has workers asks only where the other keeps more than it even afterwards.
 *
 * How this is kept in order: by three ledgers of who holds how many slots, now, soon and later
 * (slot_ledger.hpp). Each planned start counts at once on all of them, each promise from the ledger on from
 * which it is to be kept. A worker is started only where kNow and kSoon are within all limits: the first
 * so that no limit is ever exceeded, not even for a moment, the second so that no younger command takes
 * what an older one has been promised.
 *
 * The bound on a wait. Let L be the longest time that a command or task runs, S the time that a process
 * takes to leave and another to start, M the slots for which a pair competes (those of the pool; under a
 * limit, those within it; for tasks, at most task_slots). A pair without a worker that has waited for
 * fairness_interval has a slot of its own coming free, within L, unless M pairs that wait longer have all of
 * them; the slot goes to the pair that waits longest, and the pair that gave way waits anew from then
 * (gave_way_us). So with r pairs that wait longer the wait for a worker is at most fairness_interval +
 * (r / M + 1) * (L + S), where r / M is rounded down: fairness_interval plus the longest running command
 * while fewer than M pairs wait. Nobody starves: r counts only pairs that were there before, and each of
 * them is served once at most before this one. A pair counts in r for its commands and for its tasks. A pair
 * that has a worker waits for its own commands only: they are served in their order, and its tasks after
 * them. And a command waits for no task as long as fewer commands than reserved slots run: then a slot is
 * free, idle, or leaving, which makes S (or twice that, when a pair that starves comes between).
 *
 * The bound between two cycles. For services M is task_slots less the residents and leases. Who has had its cycle
 * is due later than all who waited meanwhile, so of n services r is n - 1 at most: from the moment at which one is
 * due to the begin of its cycle pass at most fairness_interval + ((n - 1) / M + 1) * (L + S), with r larger by the
 * pairs whose tasks or commands wait longer; and no fairness_interval while services are alone in the pool,
 * because each cycle ends by itself. Between the begins of two cycles of one service lies that, and before it
 * `every`, or the cycle, whichever is longer.
 */
#include "core/allocation.hpp"

#include "core/planner.hpp"

#include <algorithm>
#include <new>

namespace worker_pool::policy
{

namespace
{

/*
 * Takes `count` elements from the front of the scratch memory; no type here is aligned more strictly than
 * the one before it.
 */
template <typename T>
T *
Carve(unsigned char *&memory, std::size_t count) noexcept
{
	T *const array = reinterpret_cast<T *>(memory);

	memory += sizeof(T) * count;
	return array;
}

} // namespace

Planner::Planner(const SlotView *slots, int slot_count, const DemandView *demands, int demand_count,
				 const PolicyLimits &limits, Action *actions, int capacity, void *scratch) noexcept
	: slots_(slots),
	  slot_count_(slot_count),
	  demands_(demands),
	  demand_count_(demand_count),
	  limits_(limits),
	  actions_(actions),
	  capacity_(capacity)
{
	unsigned char *memory = static_cast<unsigned char *>(scratch);
	const std::size_t group_capacity = SlotLedger::Capacity(slot_count, demand_count);

	ledger_.Init(Carve<Group>(memory, group_capacity), group_capacity);
	demand_notes_ = Carve<DemandNote>(memory, static_cast<std::size_t>(demand_count));
	slot_notes_ = Carve<SlotNote>(memory, static_cast<std::size_t>(slot_count));
	order_ = Carve<int>(memory, static_cast<std::size_t>(demand_count));
	picks_ = Carve<int>(memory, static_cast<std::size_t>(slot_count));
}

int
Planner::Run(std::int64_t *wake_at_us) noexcept
{
	LookAtSlots();
	Retire();
	if (limits_.enabled)
	{
		LookAtDemands();
		ServeInRounds();
		AskForRoom();
	}
	if (promised_)
	{
		/* what was promised rests on these: look again when one of them turns out to hang */
		for (int i = 0; i < slot_count_; ++i)
		{
			if (slots_[i].state == SlotState::kStopping)
				WakeAt(Later(slots_[i].since_us, kLeavePatienceUs));
		}
	}
	*wake_at_us = full_ ? limits_.now_us : wake_at_us_;
	return action_count_;
}

/* --- book-keeping --------------------------------------------------------------------------------- */

/* Has the pool, or the demand's database or role, all the workers that it may have? */
bool
Planner::IsFull(const DemandNote &demand, int scope, Ledger ledger) const noexcept
{
	return ledger_.At(demand.member, static_cast<Scope>(scope)).count[ledger] >=
		   demand.limit[scope];
}

/* Is there room for one more worker of the demand, or for one more that turns to tasks, within every limit? */
bool
Planner::Fits(const DemandNote &demand, Ledger ledger) const noexcept
{
	for (int scope = demand.idle > 0 ? kTasks : kPool; scope < kLimitedScopes; ++scope)
	{
		if (IsFull(demand, scope, ledger))
			return false;
	}
	return true;
}

/* One more worker of the demand from that ledger on, or one more that turns to tasks. */
void
Planner::Enter(const DemandNote &demand, Ledger first) noexcept
{
	if (demand.idle > 0)
		ledger_.EnterTask(demand.member, first, 1);
	else
		ledger_.Enter(demand.member, first, 1);
}

void
Planner::WakeAt(std::int64_t time_us) noexcept
{
	if (time_us > limits_.now_us)
		wake_at_us_ = std::min(wake_at_us_, time_us);
}

/* The caller has seen to it that there is place. */
void
Planner::Emit(ActionKind kind, int index) noexcept
{
	actions_[action_count_].kind = kind;
	actions_[action_count_].index = index;
	++action_count_;
}

/* --- what is there -------------------------------------------------------------------------------- */

/* Does the busy worker leave after what it does? */
static bool
LeavesByItself(const SlotView &slot) noexcept
{
	/* a service has a pair of its own, too, but is kept for its next cycle */
	return slot.give_way || slot.kind == SlotKind::kVisit ||
		   (slot.fresh_id != 0 && !IsShared(slot.kind));
}

void
Planner::LookAtSlots() noexcept
{
	for (int i = 0; i < slot_count_; ++i)
	{
		const SlotView &slot = slots_[i];
		SlotNote &note = *new (&slot_notes_[i]) SlotNote{};

		note.use = Use::kFixed;
		if (slot.state == SlotState::kFree)
			continue;

		/*
		 * One that leaves counts as the tasks' until it is gone: else a task could start in the slot that was
		 * kept free, and a command would wait for this one.
		 */
		const bool task = IsShared(slot.kind) && slot.state != SlotState::kIdle;

		note.member = ledger_.Find(slot.database, slot.role, slot.fresh_id, task);
		ledger_.Enter(note.member, kNow, 1);
		if (slot.state == SlotState::kStopping)
		{
			const bool soon = Elapsed(slot.since_us, limits_.now_us) < kLeavePatienceUs;

			ledger_.Enter(note.member, soon ? kSoon : kLater, -1);
		}
		else if (slot.state == SlotState::kIdle)
		{
			note.use = Use::kIdle;
			++idle_count_;
			++ledger_.At(note.member, kPair).idle;
		}
		else if (LeavesByItself(slot))
			ledger_.Enter(note.member, kLater, -1);
		else if (slot.state != SlotState::kStarting && !slot.resident &&
				 slot.kind != SlotKind::kLease)
		{
			note.use = Use::kBusy;
			++busy_count_;
		}
		if (slot.state == SlotState::kStarting && slot.kind != SlotKind::kVisit)
			++ledger_.At(note.member, kPair).starting;
		if (slot.taking && Elapsed(slot.since_us, limits_.now_us) < kTakePatienceUs)
			++ledger_.At(note.member, kPair).taking;
	}
}

/* Is the slot one too many, in its database or for tasks, since a limit was lowered? */
bool
Planner::IsTooMany(int slot) const noexcept
{
	const SlotNote &note = slot_notes_[slot];

	if (!limits_.enabled || note.use == Use::kFixed)
		return false;
	if (limits_.per_database > 0 &&
		ledger_.At(note.member, kDatabase).count[kLater] > limits_.per_database)
		return true;
	return note.use == Use::kBusy && IsShared(slots_[slot].kind) &&
		   ledger_.At(note.member, kTasks).count[kLater] > limits_.task_slots;
}

/*
 * Sends away who was idle for too long (no service: it will be due again), all who are idle while the pool is
 * switched off, and whoever is too many.
 */
void
Planner::Retire() noexcept
{
	for (int i = 0; i < slot_count_; ++i)
	{
		SlotNote &note = slot_notes_[i];
		const bool idle = note.use == Use::kIdle;
		const bool too_many = IsTooMany(i);
		const bool service = slots_[i].kind == SlotKind::kService;
		const bool waits =
			limits_.enabled &&
			(service || Elapsed(slots_[i].since_us, limits_.now_us) < limits_.idle_timeout_us);

		if (idle && waits && !too_many && !service)
			WakeAt(Later(slots_[i].since_us, limits_.idle_timeout_us));
		if (!too_many && (!idle || waits))
			continue;
		if (action_count_ >= capacity_)
		{
			full_ = true;
			return;
		}
		Emit(idle ? ActionKind::kEvict : ActionKind::kGiveWay, i);
		note.use = Use::kFixed;
		--(idle ? idle_count_ : busy_count_);
		if (idle)
			--ledger_.At(note.member, kPair).idle;
		ledger_.Enter(note.member, idle ? kSoon : kLater, -1);
	}
}

/* --- who is served -------------------------------------------------------------------------------- */

/* One worker for each demand a round. Who got nothing in a round wants no more; order_ keeps them all. */
void
Planner::ServeInRounds() noexcept
{
	bool progress = true;

	while (progress && !full_)
	{
		progress = false;
		for (int i = 0; i < order_count_ && !full_; ++i)
		{
			DemandNote &note = demand_notes_[order_[i]];

			if (note.need <= 0)
				continue;
			if (Serve(order_[i]))
			{
				--note.need;
				++note.got;
				progress = true;
			}
			else
			{
				note.need = 0;
				tasks_wait_ |= note.task;
			}
		}
	}
}

/* Starts one worker for the demand, or makes sure that a slot for it comes free soon. */
bool
Planner::Serve(int index) noexcept
{
	DemandNote &note = demand_notes_[index];

	if (note.idle > 0)
	{
		const int slot = OwnIdle(note);

		if (slot != kNoIndex)
			return TurnToTasks(note, slot);
		note.idle = 0; /* evicted for somebody who comes first */
		if (demands_[index].kind == SlotKind::kService)
			return false; /* no other before it is gone */
	}
	if (Fits(note, kNow) && Fits(note, kSoon))
	{
		if (action_count_ >= capacity_)
		{
			full_ = true;
			return false;
		}
		Emit(ActionKind::kStart, index);
		Enter(note, kNow);
		return true;
	}
	if (Fits(note, kSoon) || (idle_count_ > 0 && MakeRoom(note, kSoon, true)))
	{
		Enter(note, kSoon);
		promised_ = true;
		tasks_wait_ |= note.task;
		return true;
	}
	return false;
}

/* The idle worker of the demand's own pair that is the warmest. */
int
Planner::OwnIdle(const DemandNote &demand) const noexcept
{
	int best = kNoIndex;

	for (int i = 0; i < slot_count_; ++i)
	{
		if (slot_notes_[i].use == Use::kIdle &&
			slot_notes_[i].member.group[kPair] == demand.member.group[kPair] &&
			(best == kNoIndex || slots_[i].since_us > slots_[best].since_us))
			best = i;
	}
	return best;
}

/* Has the idle worker in the slot look for tasks, if there is room for one more, now or soon. */
bool
Planner::TurnToTasks(DemandNote &demand, int slot) noexcept
{
	if (IsFull(demand, kTasks, kSoon))
		return false;

	const Ledger first = IsFull(demand, kTasks, kNow) ? kSoon : kNow;

	if (first == kNow && action_count_ >= capacity_)
	{
		full_ = true;
		return false;
	}
	if (first == kNow)
		Emit(ActionKind::kWake, slot);
	else
		promised_ = tasks_wait_ = true;
	Enter(demand, first);
	slot_notes_[slot].use = Use::kFixed;
	--idle_count_;
	--demand.idle;
	return true;
}

} // namespace worker_pool::policy

namespace worker_pool
{

/* --- the interface --------------------------------------------------------------------------------- */

std::size_t
PolicyScratchSize(int slot_count, int demand_count) noexcept
{
	using namespace policy;

	static_assert(alignof(Group) >= alignof(DemandNote) &&
				  alignof(DemandNote) >= alignof(SlotNote) && alignof(SlotNote) >= alignof(int));
	static_assert(sizeof(DemandNote) % alignof(SlotNote) == 0 &&
				  sizeof(SlotNote) % alignof(int) == 0);

	return SlotLedger::Capacity(slot_count, demand_count) * sizeof(Group) +
		   static_cast<std::size_t>(demand_count) * (sizeof(DemandNote) + sizeof(int)) +
		   static_cast<std::size_t>(slot_count) * (sizeof(SlotNote) + sizeof(int));
}

int
PlanActions(const SlotView *slots, int slot_count, const DemandView *demands, int demand_count,
			const PolicyLimits &limits, Action *actions, int capacity, std::int64_t *wake_at_us,
			void *scratch, bool *tasks_wait) noexcept
{
	policy::Planner planner(slots, slot_count, demands, demand_count, limits, actions, capacity,
							scratch);

	const int count = planner.Run(wake_at_us);

	if (tasks_wait != nullptr)
		*tasks_wait = planner.TasksWait();
	return count;
}

bool
CouldStartNow(const SlotView *slots, int slot_count, int queued_total, std::uint32_t database,
			  std::uint32_t role, int role_limit, const PolicyLimits &limits) noexcept
{
	int staying = 0; /* slots that no new worker can have */
	int staying_in_database = 0;
	int staying_of_role = 0;
	int starting = 0;

	if (!limits.enabled)
		return false;
	for (int i = 0; i < slot_count; ++i)
	{
		const SlotView &slot = slots[i];

		if (slot.state == SlotState::kFree || slot.state == SlotState::kIdle ||
			slot.state == SlotState::kStopping)
			continue;
		++staying;
		staying_in_database += slot.database == database;
		staying_of_role += slot.role == role;
		starting += slot.state == SlotState::kStarting && slot.kind == SlotKind::kCommand;
	}

	/* each starting worker takes one of the commands that wait; the others need slots first */
	const int before = std::max(0, queued_total - starting);
	const int room = std::min(limits.slots, slot_count) - staying;

	return room > before &&
		   (limits.per_database <= 0 || staying_in_database < limits.per_database) &&
		   (role_limit <= 0 || staying_of_role < role_limit);
}

} // namespace worker_pool
