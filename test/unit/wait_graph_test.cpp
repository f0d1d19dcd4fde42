/*
 * wait_graph_test.cpp
 *	  Knots by example, and by comparison with a brute-force search over small random graphs.
 */
#include "core/wait_graph.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace worker_pool
{

namespace
{

struct Graph
{
	std::vector<WaitNode> nodes;
	std::vector<std::vector<int>> edges;
	std::vector<int> flat;

	/* A node's pid is its index + 100; all waits of ours began at the same time unless told. */
	int Live()
	{
		return Add(WaitKind::kLive, {}, false, 0);
	}

	int Add(WaitKind kind, std::vector<int> targets, bool ours = false, std::int64_t since_us = 0)
	{
		const int index = static_cast<int>(nodes.size());

		nodes.push_back({index + 100, kind, ours, since_us, 0, 0});
		edges.push_back(std::move(targets));
		return index;
	}

	/* A process that waits for a command of ours. */
	int Waiter(std::vector<int> targets, std::int64_t since_us = 0)
	{
		return Add(WaitKind::kWaitsAll, std::move(targets), true, since_us);
	}

	/* A process that waits for locks. */
	int Locked(std::vector<int> targets)
	{
		return Add(WaitKind::kWaitsAll, std::move(targets));
	}

	int AnyOf(std::vector<int> targets)
	{
		return Add(WaitKind::kWaitsAny, std::move(targets));
	}

	WaitGraph Flatten()
	{
		flat.clear();
		for (std::size_t i = 0; i < nodes.size(); ++i)
		{
			nodes[i].first_target = static_cast<int>(flat.size());
			nodes[i].target_count = static_cast<int>(edges[i].size());
			flat.insert(flat.end(), edges[i].begin(), edges[i].end());
		}
		return {nodes.data(), static_cast<int>(nodes.size()), flat.data()};
	}

	std::vector<bool> Stuck()
	{
		const WaitGraph graph = Flatten();
		const auto stuck = std::make_unique<bool[]>(nodes.size() + 1);

		MarkStuck(graph, stuck.get());
		return std::vector<bool>(stuck.get(), stuck.get() + nodes.size());
	}

	/* The nodes that give up; *knot, if wanted, is the order of the last one that does. */
	std::vector<int> Victims(std::vector<int> *knot = nullptr)
	{
		const WaitGraph graph = Flatten();
		const std::size_t count = nodes.size() + 1;
		const auto stuck = std::make_unique<bool[]>(count);
		const auto reached = std::make_unique<bool[]>(count);
		const auto returns = std::make_unique<bool[]>(count);
		std::vector<int> order(count);
		std::vector<int> victims;

		for (int i = 0; i < graph.node_count; ++i)
		{
			WaitScratch scratch = {stuck.get(), reached.get(), returns.get(), order.data(), 0};

			if (!ShouldGiveUp(graph, i, &scratch))
				continue;
			victims.push_back(i);
			if (knot != nullptr)
				knot->assign(order.begin(), order.begin() + scratch.order_count);
		}
		return victims;
	}
};

using Indexes = std::vector<int>;

TEST(WaitGraph, WaitingForAWorkerThatRunsIsNoDeadlock)
{
	Graph graph;

	graph.Waiter({graph.Live()});
	EXPECT_EQ(graph.Stuck(), (std::vector<bool>{false, false}));
	EXPECT_TRUE(graph.Victims().empty());
}

TEST(WaitGraph, NothingToWaitForIsLive)
{
	Graph graph;

	graph.Waiter({});
	graph.AnyOf({});
	EXPECT_EQ(graph.Stuck(), (std::vector<bool>{false, false}));
}

TEST(WaitGraph, CommandThatWaitsForItself)
{
	Graph graph;

	graph.Waiter({0});
	EXPECT_EQ(graph.Victims(), (Indexes{0}));
}

TEST(WaitGraph, CallerHoldsTheLockThatItsWorkerWants)
{
	Graph graph;
	Indexes knot;

	graph.Waiter({1});
	graph.Locked({0});
	EXPECT_EQ(graph.Victims(&knot), (Indexes{0}));
	EXPECT_EQ(knot, (Indexes{0, 1}));
}

TEST(WaitGraph, OneOfSeveralLockHoldersIsEnough)
{
	Graph graph;

	graph.Waiter({1});
	graph.Locked({2, 0});
	graph.Live();
	EXPECT_EQ(graph.Victims(), (Indexes{0}));
}

TEST(WaitGraph, NestedRunInAPoolOfOne)
{
	Graph graph;

	graph.Waiter({2}, 10); /* the session, waits for the worker */
	graph.AnyOf({2});	   /* the pool's only slot */
	graph.Waiter({1}, 20); /* the worker, waits for a slot */
	/* the session waits for the knot, it is not in it */
	EXPECT_EQ(graph.Victims(), (Indexes{2}));
}

TEST(WaitGraph, OfFourNestedRunsOnFourSlotsTheYoungestDies)
{
	Graph graph;
	Indexes knot;

	graph.AnyOf({1, 2, 3, 4});
	graph.Waiter({0}, 10);
	graph.Waiter({0}, 40);
	graph.Waiter({0}, 30);
	graph.Waiter({0}, 20);
	EXPECT_EQ(graph.Victims(&knot), (Indexes{2}));
	EXPECT_EQ(knot, (Indexes{2, 0, 1, 3, 4}));
}

TEST(WaitGraph, LargestPidBreaksTheTie)
{
	Graph graph;

	graph.AnyOf({1, 2, 3});
	graph.Waiter({0}, 10);
	graph.Waiter({0}, 10);
	graph.Waiter({0}, 10);
	EXPECT_EQ(graph.Victims(), (Indexes{3}));
}

TEST(WaitGraph, OneSlotThatMovesIsEnough)
{
	Graph graph;

	graph.AnyOf({1, 2, 3});
	graph.Waiter({0}, 10);
	graph.Waiter({0}, 20);
	graph.Live();
	EXPECT_TRUE(graph.Victims().empty());
}

TEST(WaitGraph, DatabaseLimitIsAKnotThoughThePoolMoves)
{
	Graph graph;

	graph.AnyOf({2, 3}); /* pool */
	graph.AnyOf({2});	 /* slots of the database */
	graph.Waiter({0, 1}, 20);
	graph.Live();
	EXPECT_EQ(graph.Victims(), (Indexes{2}));
}

TEST(WaitGraph, LockCycleWithoutUsIsTheServersBusiness)
{
	Graph graph;

	graph.Locked({1});
	graph.Locked({0});
	graph.Waiter({0}); /* waits for it, but breaking this wait would not help */
	EXPECT_EQ(graph.Stuck(), (std::vector<bool>{true, true, true}));
	EXPECT_TRUE(graph.Victims().empty());
}

TEST(WaitGraph, TwoKnotsLoseOneEach)
{
	Graph graph;

	graph.Waiter({1}, 5);
	graph.Locked({0});
	graph.Waiter({3}, 9);
	graph.Locked({2});
	EXPECT_EQ(graph.Victims(), (Indexes{0, 2}));
}

TEST(WaitGraph, WhoWaitsForAKnotIsSpared)
{
	Graph graph;

	graph.AnyOf({1, 2, 3}); /* a full pool */
	graph.Waiter({0}, 50);	/* two nested runs */
	graph.Waiter({0}, 60);
	graph.Locked({4});	   /* the third worker wants a lock ... */
	graph.Waiter({3}, 10); /* ... of the session that waits for it */
	EXPECT_EQ(graph.Victims(), (Indexes{4}));
	/* with that gone the pool moves */
	graph.nodes[4].kind = WaitKind::kLive;
	EXPECT_TRUE(graph.Victims().empty());
}

TEST(WaitGraph, LongChainInAnyOrder)
{
	for (const int step : {1, 7, 499})
	{
		Graph graph;
		const int count = 500;

		for (int i = 0; i < count; ++i)
			graph.Waiter({(i + step) % count}, i);
		EXPECT_EQ(graph.Victims(), (Indexes{count - 1}));
		graph.edges[250] = {};
		EXPECT_TRUE(graph.Victims().empty());
	}
}

/* --- random graphs -------------------------------------------------------------------------------- */

/* The union of all sets in which each member is stuck if exactly that set is: by trying every set. */
std::vector<bool>
StuckByBruteForce(const Graph &graph)
{
	const std::size_t count = graph.nodes.size();
	unsigned all = 0;

	for (unsigned set = 0; set < 1U << count; ++set)
	{
		bool agrees = true;

		for (std::size_t i = 0; i < count && agrees; ++i)
		{
			if (!(set >> i & 1))
				continue;

			std::size_t stuck = 0;

			for (const int target : graph.edges[i])
				stuck += set >> target & 1;
			if (graph.nodes[i].kind == WaitKind::kLive || stuck == 0 ||
				(graph.nodes[i].kind == WaitKind::kWaitsAny && stuck < graph.edges[i].size()))
				agrees = false;
		}
		if (agrees)
			all |= set;
	}

	std::vector<bool> result(count);

	for (std::size_t i = 0; i < count; ++i)
		result[i] = all >> i & 1;
	return result;
}

Graph
RandomGraph(std::mt19937 &random, unsigned count, unsigned waiters_in_ten)
{
	Graph graph;

	for (unsigned i = 0; i < count; ++i)
	{
		const unsigned kind = random() % 10;
		std::vector<int> targets;

		for (unsigned edges = random() % 4; edges > 0; --edges)
			targets.push_back(static_cast<int>(random() % count));
		if (kind < waiters_in_ten)
			graph.Waiter(targets, random() % 5);
		else if (kind == 9)
			graph.Live();
		else
			graph.AnyOf(targets);
	}
	return graph;
}

TEST(WaitGraphProperty, StuckIsTheGreatestSetThatAgrees)
{
	std::mt19937 random(1);

	for (int round = 0; round < 3000; ++round)
	{
		Graph graph = RandomGraph(random, 1 + random() % 9, 6);

		ASSERT_EQ(graph.Stuck(), StuckByBruteForce(graph)) << "round " << round;
	}
}

/* Victims give up at most one for each knot, and when they have, over and over, nobody is stuck. */
TEST(WaitGraphProperty, EveryKnotOfOursEnds)
{
	std::mt19937 random(2);

	for (int round = 0; round < 3000; ++round)
	{
		/* node 0 is a waiter, and no set holds a set: every cycle goes over somebody who may give up */
		Graph graph = RandomGraph(random, 2 + random() % 30, 6);

		graph.nodes[0].kind = WaitKind::kWaitsAll;
		graph.nodes[0].may_give_up = true;
		for (std::size_t i = 0; i < graph.nodes.size(); ++i)
		{
			if (graph.nodes[i].kind != WaitKind::kWaitsAny)
				continue;
			for (int &target : graph.edges[i])
			{
				if (graph.nodes[static_cast<std::size_t>(target)].kind == WaitKind::kWaitsAny)
					target = 0;
			}
		}

		for (std::size_t steps = 0;; ++steps)
		{
			const std::vector<bool> stuck = graph.Stuck();
			const Indexes victims = graph.Victims();
			const bool any = std::find(stuck.begin(), stuck.end(), true) != stuck.end();

			ASSERT_LE(steps, graph.nodes.size());
			ASSERT_EQ(any, !victims.empty()) << "round " << round;
			for (const int victim : victims)
			{
				EXPECT_TRUE(stuck[static_cast<std::size_t>(victim)]);
				EXPECT_TRUE(graph.nodes[static_cast<std::size_t>(victim)].may_give_up);
				graph.nodes[static_cast<std::size_t>(victim)].kind = WaitKind::kLive;
			}
			if (!any)
				break;
		}
	}
}

} // namespace

} // namespace worker_pool
