/*
 * index_tree_test.cpp
 *	  The tree does what std::set does, whatever the order of operations, and stays flat.
 */
#include "core/index_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace worker_pool
{

namespace
{

static_assert(TreePriority(1) != TreePriority(2), "usable at compile time");

struct Element
{
	TreeLinks links;
	int key;
};

/* Ordered by key, then by index. */
struct ByKey
{
	std::vector<Element> *elements;

	TreeLinks &Links(std::int32_t node) const noexcept
	{
		return (*elements)[static_cast<std::size_t>(node)].links;
	}

	int Key(std::int32_t node) const noexcept
	{
		return (*elements)[static_cast<std::size_t>(node)].key;
	}

	bool Before(std::int32_t a, std::int32_t b) const noexcept
	{
		return std::make_pair(Key(a), a) < std::make_pair(Key(b), b);
	}
};

int
DepthOf(const std::vector<Element> &elements, std::int32_t node)
{
	if (node == kNoNode)
		return 0;

	const TreeLinks &links = elements[static_cast<std::size_t>(node)].links;

	return 1 + std::max(DepthOf(elements, links.left), DepthOf(elements, links.right));
}

TEST(IndexTree, EmptyTreeHasNothing)
{
	std::vector<Element> elements(1);
	std::int32_t root = kNoNode;
	IndexTree<ByKey> tree(&root, {&elements});

	EXPECT_TRUE(tree.IsEmpty());
	EXPECT_EQ(tree.Smallest(), kNoNode);
	EXPECT_EQ(tree.Greatest(), kNoNode);
	EXPECT_EQ(tree.Next(0), kNoNode);
	EXPECT_FALSE(tree.Erase(0));
}

TEST(IndexTree, AgreesWithSetUnderRandomOperations)
{
	constexpr int kElements = 3000;
	constexpr int kOperations = 100000;
	std::mt19937 random(20261120);
	std::vector<Element> elements(kElements);
	std::int32_t root = kNoNode;
	IndexTree<ByKey> tree(&root, {&elements});
	std::set<std::pair<int, std::int32_t>> model;
	std::vector<bool> is_in(kElements, false);

	for (int i = 0; i < kOperations; ++i)
	{
		const auto node = static_cast<std::int32_t>(random() % kElements);
		const auto place = static_cast<std::size_t>(node);

		if (is_in[place])
		{
			EXPECT_TRUE(tree.Erase(node));
			model.erase({elements[place].key, node});
		}
		else
		{
			/* few keys, so that the index has to decide */
			elements[place].key = static_cast<int>(random() % 500);
			EXPECT_FALSE(tree.Erase(node));
			tree.Insert(node);
			model.insert({elements[place].key, node});
		}
		is_in[place] = !is_in[place];

		ASSERT_EQ(tree.IsEmpty(), model.empty());
		ASSERT_EQ(tree.Smallest(), model.empty() ? kNoNode : model.begin()->second);
		ASSERT_EQ(tree.Greatest(), model.empty() ? kNoNode : model.rbegin()->second);

		/* of one that is in the tree or not */
		const auto other = static_cast<std::int32_t>(random() % kElements);
		const auto next = model.upper_bound({elements[static_cast<std::size_t>(other)].key, other});

		ASSERT_EQ(tree.Next(other), next == model.end() ? kNoNode : next->second);
	}
}

TEST(IndexTree, VisitsAllInOrder)
{
	constexpr int kElements = 2000;
	std::mt19937 random(7);
	std::vector<Element> elements(kElements);
	std::int32_t root = kNoNode;
	IndexTree<ByKey> tree(&root, {&elements});

	for (int i = 0; i < kElements; ++i)
	{
		elements[static_cast<std::size_t>(i)].key = static_cast<int>(random());
		tree.Insert(i);
	}

	int count = 0;
	std::int32_t before = kNoNode;

	for (std::int32_t node = tree.Smallest(); node != kNoNode; node = tree.Next(node))
	{
		ASSERT_TRUE(before == kNoNode || ByKey{&elements}.Before(before, node));
		before = node;
		++count;
	}
	EXPECT_EQ(count, kElements);
	EXPECT_EQ(before, tree.Greatest());
}

TEST(IndexTree, StaysFlatWhenKeysComeInOrder)
{
	constexpr int kElements = 32768;
	std::vector<Element> elements(kElements);
	std::int32_t root = kNoNode;
	IndexTree<ByKey> tree(&root, {&elements});

	for (int i = 0; i < kElements; ++i)
	{
		elements[static_cast<std::size_t>(i)].key = i;
		tree.Insert(i);
	}
	/* 15 would be perfect */
	EXPECT_LT(DepthOf(elements, root), 60);

	for (int i = 0; i < kElements; ++i)
	{
		ASSERT_EQ(tree.Smallest(), i);
		ASSERT_TRUE(tree.Erase(i));
	}
	EXPECT_TRUE(tree.IsEmpty());
}

TEST(IndexTree, ShapeDependsOnTheSetAlone)
{
	constexpr int kElements = 300;
	std::vector<Element> one(kElements);
	std::vector<Element> other(kElements);
	std::int32_t one_root = kNoNode;
	std::int32_t other_root = kNoNode;

	for (int i = 0; i < kElements; ++i)
	{
		one[static_cast<std::size_t>(i)].key = other[static_cast<std::size_t>(i)].key = i * 7 % 41;
	}
	for (int i = 0; i < kElements; ++i)
	{
		IndexTree<ByKey>(&one_root, {&one}).Insert(i);
		IndexTree<ByKey>(&other_root, {&other}).Insert(kElements - 1 - i);
	}
	EXPECT_EQ(one_root, other_root);
	for (std::size_t i = 0; i < kElements; ++i)
	{
		EXPECT_EQ(one[i].links.left, other[i].links.left);
		EXPECT_EQ(one[i].links.right, other[i].links.right);
	}
}

} // namespace

} // namespace worker_pool
