/*
 * index_tree.hpp
 *	  An ordered tree over the elements of an array, which are named by their indexes. Pure C++: no server
 *	  here, no allocation, no recursion, nothing that throws.
 *
 * The elements bring their own links, so a tree is one index (its root) and lives wherever the array does:
 * in shared memory, where addresses may differ from process to process. It is a treap: ordered by the caller's
 * key, and a heap by a priority that is a hash of the index. The hash is a bijection of 32-bit numbers, so
 * priorities are distinct, the shape depends on the set of elements alone, and the depth is logarithmic unless
 * somebody chooses indexes by their hash.
 *
 * A key must not change while its element is in a tree. Keys are distinct: the caller's order ends with
 * something that is, the index itself if need be.
 */
#pragma once

#include <cstdint>

namespace worker_pool
{

inline constexpr std::int32_t kNoNode = -1;

struct TreeLinks
{
	std::int32_t left;
	std::int32_t right;
};

/* The finalizer of MurmurHash3. */
constexpr std::uint32_t
TreePriority(std::int32_t node) noexcept
{
	std::uint32_t hash = static_cast<std::uint32_t>(node);

	hash ^= hash >> 16;
	hash *= 0x85EBCA6BU;
	hash ^= hash >> 13;
	hash *= 0xC2B2AE35U;
	hash ^= hash >> 16;
	return hash;
}

/*
 * A view of one tree. Nodes is a small functor:
 *		TreeLinks &Links(std::int32_t node) const noexcept;
 *		bool Before(std::int32_t a, std::int32_t b) const noexcept;		a strict order
 * All operations take O(log n) steps, but for IsEmpty.
 */
template <typename Nodes>
class IndexTree
{
public:
	explicit IndexTree(std::int32_t *root, Nodes nodes = Nodes()) noexcept
		: root_(root),
		  nodes_(nodes)
	{
	}

	bool IsEmpty() const noexcept
	{
		return *root_ == kNoNode;
	}

	/* Puts an element in that is in no tree. */
	void Insert(std::int32_t node) noexcept
	{
		const std::uint32_t priority = TreePriority(node);
		std::int32_t *link = root_;

		while (*link != kNoNode && TreePriority(*link) > priority)
			link = Side(node, *link);

		/* what stood here is split: smaller elements to the left of the new one, greater to the right */
		std::int32_t rest = *link;
		std::int32_t *smaller = &nodes_.Links(node).left;
		std::int32_t *greater = &nodes_.Links(node).right;

		*link = node;
		while (rest != kNoNode)
		{
			TreeLinks &links = nodes_.Links(rest);

			if (nodes_.Before(node, rest))
			{
				*greater = rest;
				greater = &links.left;
				rest = links.left;
			}
			else
			{
				*smaller = rest;
				smaller = &links.right;
				rest = links.right;
			}
		}
		*smaller = kNoNode;
		*greater = kNoNode;
	}

	/* Takes an element out; false: it is not in this tree. */
	bool Erase(std::int32_t node) noexcept
	{
		std::int32_t *link = root_;

		while (*link != node)
		{
			if (*link == kNoNode)
				return false;
			link = Side(node, *link);
		}

		/* its two subtrees are merged in its place */
		std::int32_t left = nodes_.Links(node).left;
		std::int32_t right = nodes_.Links(node).right;

		while (left != kNoNode && right != kNoNode)
		{
			if (TreePriority(left) > TreePriority(right))
			{
				*link = left;
				link = &nodes_.Links(left).right;
				left = *link;
			}
			else
			{
				*link = right;
				link = &nodes_.Links(right).left;
				right = *link;
			}
		}
		*link = left != kNoNode ? left : right;
		return true;
	}

	/* kNoNode when the tree is empty. */
	std::int32_t Smallest() const noexcept
	{
		std::int32_t node = *root_;

		while (node != kNoNode && nodes_.Links(node).left != kNoNode)
			node = nodes_.Links(node).left;
		return node;
	}

	std::int32_t Greatest() const noexcept
	{
		std::int32_t node = *root_;

		while (node != kNoNode && nodes_.Links(node).right != kNoNode)
			node = nodes_.Links(node).right;
		return node;
	}

	/* The element that follows one (which need not be in the tree itself); kNoNode after the greatest. */
	std::int32_t Next(std::int32_t node) const noexcept
	{
		std::int32_t found = kNoNode;
		std::int32_t at = *root_;

		while (at != kNoNode)
		{
			if (nodes_.Before(node, at))
			{
				found = at;
				at = nodes_.Links(at).left;
			}
			else
				at = nodes_.Links(at).right;
		}
		return found;
	}

private:
	/* The link of `at` behind which `node` belongs. */
	std::int32_t *Side(std::int32_t node, std::int32_t at) const noexcept
	{
		TreeLinks &links = nodes_.Links(at);

		return nodes_.Before(node, at) ? &links.left : &links.right;
	}

	std::int32_t *root_;
	Nodes nodes_;
};

} // namespace worker_pool
