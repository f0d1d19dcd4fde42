/*
 * slot_ledger.hpp
 *	  The book-keeping of allocation.cpp: how many slots the pool, each database, each role, all tasks and
 *	  each pair hold, on three ledgers. Pure C++: no server here, no allocation.
 *
 *	kNow	what is not free at this moment;
 *	kSoon	the same without the workers that are leaving;
 *	kLater	the same without the workers that leave after their command.
 *
 * A change is entered on one ledger and on all after it, so kNow >= kSoon >= kLater until promises are
 * entered, which count only from the ledger on from which they are to be kept.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace worker_pool::policy
{

/* What a slot counts against. The first four can have limits. */
enum Scope : int
{
	kPool,
	kDatabase,
	kRole,
	kTasks, /* two groups: the slots that tasks hold, and all others, which have no limit */
	kPair,
	kPairTasks, /* the slots that a pair's tasks hold; one group for all others, which nobody asks about */
};
inline constexpr int kLimitedScopes = 4;
inline constexpr int kScopes = 6;

enum Ledger : int
{
	kNow,
	kSoon,
	kLater,
};
inline constexpr int kLedgers = 3;

/* The pool, one database, one role, all tasks, one pair, or the tasks of one pair. */
struct Group
{
	std::uint64_t fresh_id;
	std::uint32_t database;
	std::uint32_t role;
	int scope; /* -1 = unused */
	int count[kLedgers];
	int starting;	/* of a pair: workers on their way for which no demand was found yet */
	int taking;		/* of a pair: workers that have just turned to tasks, likewise */
	int idle;		/* of a pair: idle workers that are to stay, likewise */
	int unassigned; /* of a pair: queued commands that none of these takes */
};

/* The groups of one slot or demand, as indexes. */
struct Membership
{
	int group[kScopes];
};

/* A hash table over the caller's memory. */
class SlotLedger
{
public:
	/* How many groups the memory must hold for so many slots and demands: a power of two. */
	static std::size_t Capacity(int slot_count, int demand_count) noexcept
	{
		/* the pool, tasks, and the two groups of what is no task */
		const std::size_t most = 4 + (kScopes - 2) * (static_cast<std::size_t>(slot_count) +
													  static_cast<std::size_t>(demand_count));
		std::size_t capacity = 16;

		while (capacity < 2 * most)
			capacity *= 2;
		return capacity;
	}

	void Init(Group *groups, std::size_t capacity) noexcept
	{
		groups_ = groups;
		mask_ = capacity - 1;
		for (std::size_t i = 0; i < capacity; ++i)
			new (&groups_[i]) Group{0, 0, 0, -1, {0, 0, 0}, 0, 0, 0, 0};
	}

	Membership
	Find(std::uint32_t database, std::uint32_t role, std::uint64_t fresh_id, bool task) noexcept
	{
		return {{FindGroup(kPool, 0, 0, 0), FindGroup(kDatabase, database, 0, 0),
				 FindGroup(kRole, 0, role, 0), FindGroup(kTasks, task ? 1 : 0, 0, 0),
				 FindGroup(kPair, database, role, fresh_id),
				 task ? FindGroup(kPairTasks, database, role, fresh_id)
					  : FindGroup(kPairTasks, 0, 0, UINT64_MAX)}};
	}

	/* Enters a change in all groups, on this ledger and those after it. */
	void Enter(const Membership &member, Ledger first, int change) noexcept
	{
		for (const int group : member.group)
		{
			for (int ledger = first; ledger < kLedgers; ++ledger)
				groups_[group].count[ledger] += change;
		}
	}

	/* The same for a worker that is there already and turns to tasks (or will). */
	void EnterTask(const Membership &member, Ledger first, int change) noexcept
	{
		for (int ledger = first; ledger < kLedgers; ++ledger)
		{
			groups_[member.group[kTasks]].count[ledger] += change;
			groups_[member.group[kPairTasks]].count[ledger] += change;
		}
	}

	Group &At(const Membership &member, Scope scope) noexcept
	{
		return groups_[member.group[scope]];
	}

	const Group &At(const Membership &member, Scope scope) const noexcept
	{
		return groups_[member.group[scope]];
	}

private:
	/* The group's index, made when it is missing; the table is never more than half full. */
	int FindGroup(Scope scope, std::uint32_t database, std::uint32_t role,
				  std::uint64_t fresh_id) noexcept
	{
		std::uint64_t hash = (static_cast<std::uint64_t>(database) << 32 | role) ^ fresh_id;

		hash = (hash + static_cast<std::uint64_t>(scope)) * UINT64_C(0x9e3779b97f4a7c15);
		for (std::size_t at = (hash >> 32) & mask_;; at = (at + 1) & mask_)
		{
			Group &group = groups_[at];

			if (group.scope == -1)
				group = Group{fresh_id, database, role, scope, {0, 0, 0}, 0, 0, 0, 0};
			if (group.scope == scope && group.database == database && group.role == role &&
				group.fresh_id == fresh_id)
				return static_cast<int>(at);
		}
	}

	Group *groups_ = nullptr;
	std::size_t mask_ = 0;
};

} // namespace worker_pool::policy
