/*
 * wait_graph.cpp
 *	  The knot finder of wait_graph.hpp. Runs in the process that waits, on a picture of the waits that
 *	  feature/deadlock.cpp took; every step is bounded by the size of the picture and nothing can fail.
 *
 * The picture need not be of one instant, so "stuck" here only means "looks stuck"; the caller believes it
 * when it sees the same twice, deadlock_timeout apart. A wait that truly cannot end looks stuck each time.
 */
#include "core/wait_graph.hpp"

namespace worker_pool
{

namespace
{

/* Does the node look stuck, given what is assumed of its targets? */
bool
LooksStuck(const WaitGraph &graph, const WaitNode &node, const bool *stuck) noexcept
{
	if (node.kind == WaitKind::kLive || node.target_count == 0)
		return false;

	const bool any = node.kind == WaitKind::kWaitsAny;

	for (int i = 0; i < node.target_count; ++i)
	{
		const bool target_stuck = stuck[graph.targets[node.first_target + i]];

		/* one that moves frees a kWaitsAny; one that is stuck keeps a kWaitsAll */
		if (target_stuck != any)
			return !any;
	}
	return any;
}

/* Lists self and what it reaches over stuck nodes, nearest first; reached[self] only over a cycle. */
void
Reach(const WaitGraph &graph, int self, WaitScratch *scratch) noexcept
{
	for (int i = 0; i < graph.node_count; ++i)
		scratch->reached[i] = false;
	scratch->order[0] = self;
	scratch->order_count = 1;

	for (int next = 0; next < scratch->order_count; ++next)
	{
		const WaitNode &node = graph.nodes[scratch->order[next]];

		for (int i = 0; i < node.target_count; ++i)
		{
			const int target = graph.targets[node.first_target + i];

			if (!scratch->stuck[target] || scratch->reached[target])
				continue;
			scratch->reached[target] = true;
			if (target != self)
				scratch->order[scratch->order_count++] = target;
		}
	}
}

/* Marks which of the listed nodes have a way back to self. */
void
Return(const WaitGraph &graph, int self, WaitScratch *scratch) noexcept
{
	bool changed = true;

	for (int i = 0; i < graph.node_count; ++i)
		scratch->returns[i] = false;

	while (changed)
	{
		changed = false;
		/* farthest first: a way back is mostly closed by one of the farthest */
		for (int next = scratch->order_count - 1; next >= 0; --next)
		{
			const int index = scratch->order[next];
			const WaitNode &node = graph.nodes[index];

			for (int i = 0; i < node.target_count && !scratch->returns[index]; ++i)
			{
				const int target = graph.targets[node.first_target + i];

				if (scratch->stuck[target] && (target == self || scratch->returns[target]))
				{
					scratch->returns[index] = true;
					changed = true;
				}
			}
		}
	}
}

/* Is `a` to give up rather than `b`? */
bool
GivesUpBefore(const WaitNode &a, const WaitNode &b) noexcept
{
	return a.since_us != b.since_us ? a.since_us > b.since_us : a.pid > b.pid;
}

} // namespace

void
MarkStuck(const WaitGraph &graph, bool *stuck) noexcept
{
	bool changed = true;

	for (int i = 0; i < graph.node_count; ++i)
		stuck[i] = graph.nodes[i].kind != WaitKind::kLive;

	/* Each sweep but the last takes at least one node out, so there are at most node_count + 1. */
	while (changed)
	{
		changed = false;
		for (int i = graph.node_count - 1; i >= 0; --i)
		{
			if (stuck[i] && !LooksStuck(graph, graph.nodes[i], stuck))
			{
				stuck[i] = false;
				changed = true;
			}
		}
	}
}

bool
ShouldGiveUp(const WaitGraph &graph, int self, WaitScratch *scratch) noexcept
{
	scratch->order_count = 0;
	MarkStuck(graph, scratch->stuck);
	if (!scratch->stuck[self] || !graph.nodes[self].may_give_up)
		return false;

	Reach(graph, self, scratch);
	if (!scratch->reached[self])
		return false;

	Return(graph, self, scratch);
	for (int i = 0; i < scratch->order_count; ++i)
	{
		const int index = scratch->order[i];
		const WaitNode &other = graph.nodes[index];

		/* no knot: self also waits for something that does not wait for self */
		if (!scratch->returns[index])
			return false;
		if (index != self && other.may_give_up && GivesUpBefore(other, graph.nodes[self]))
			return false;
	}
	return true;
}

} // namespace worker_pool
