/*
 * wait_graph.hpp
 *	  Finds waits that can never end. Pure C++: no server here.
 *
 * A node is a process, or a set of slots of which one must come free. A node is
 *
 *	kLive		moving by itself;
 *	kWaitsAll	waiting until every target has moved: stuck when one of them is stuck. A process that waits
 *				for a lock held by several, or for the worker that runs its command. No target: live;
 *	kWaitsAny	waiting until one target has moved: stuck only when all of them are stuck. A set of slots.
 *				No target: live.
 *
 * "Stuck" is the greatest set that agrees with these rules: whatever is not shown to move is in it. Among
 * the stuck, a *knot* is a set of nodes that all reach each other and reach nothing else; as long as a knot
 * stands nothing in it moves and nothing outside can help. One waiter in each knot gives up, the youngest:
 * so of four tasks that fill four slots and each call run(), one dies, and its slot serves the other three.
 * Stuck nodes outside of a knot wait for one and give nobody up: the knot's end may free them.
 */
#pragma once

#include <cstdint>

namespace worker_pool
{

enum class WaitKind : std::uint8_t
{
	kLive,
	kWaitsAll,
	kWaitsAny,
};

struct WaitNode
{
	int pid; /* 0 for a set of slots */
	WaitKind kind;
	bool may_give_up;	   /* one of our waiters: it can end its wait with an error */
	std::int64_t since_us; /* when its wait began */
	int first_target;	   /* into WaitGraph.targets; nodes may share a stretch */
	int target_count;
};

struct WaitGraph
{
	const WaitNode *nodes;
	int node_count;
	const int *targets; /* indexes of nodes */
};

/* The caller's arrays, node_count elements each. */
struct WaitScratch
{
	bool *stuck;   /* out: cannot move */
	bool *reached; /* out: a stuck node to which self has a way over stuck nodes */
	bool *returns; /* out: a stuck node that has a way back to self */
	int *order;	   /* out: self and then what it reaches, nearest first */
	int order_count;
};

/* Fills stuck[]. At most node_count sweeps over all edges. */
void MarkStuck(const WaitGraph &graph, bool *stuck) noexcept;

/*
 * Is the process `self` in a knot, and the one of it to give up: the waiter that waits for the shortest
 * time, of several the one with the largest pid? When true, scratch->order lists the knot, self first.
 */
bool ShouldGiveUp(const WaitGraph &graph, int self, WaitScratch *scratch) noexcept;

} // namespace worker_pool
