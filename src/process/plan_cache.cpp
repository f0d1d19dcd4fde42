/*
 * plan_cache.cpp
 *	  The plans that a warm worker keeps over its commands. Worker process.
 *
 * A table of kPlans sources of the server's own plan cache, found by (text, settings, number of
 * arguments) and thrown out in the order of last use. A text is kept when it comes the second time:
 * keeping costs a few copies of the trees, which a text that never comes again would pay in vain,
 * and such texts would push the useful ones out. Its third execution is the first that skips
 * everything.
 *
 * Why a kept plan means what the text means:
 * - Settings. Before each command the session stands at its reset values (ResetSession) plus the
 *   command's `settings`, and a kept command is a single statement that cannot change them before
 *   it is analyzed. The settings are part of the key; when the reset values change the plans go
 *   (ForgetPlans on a reload; a change by ALTER ROLE or DATABASE ... SET ends the process). So
 *   literals that analysis folds under DateStyle, TimeZone or standard_conforming_strings, and the
 *   planner's settings, are the same.
 * - Objects. The server's plan cache marks a source invalid when something it uses has changed, or
 *   when search_path, the role or row_security differ. We do not let it analyze the text again:
 *   that would hold on to the parameter types inferred the first time, while the text may now infer
 *   others. An invalid source is dropped and the text goes the long way, once. (Should the
 *   invalidation come only while the plan's locks are taken, it is a prepared statement's behaviour
 *   that one time.)
 * - As for any prepared statement, a new object that hides one used by the plan, in a schema
 *   earlier in the same search_path, is not noticed before something the plan uses changes.
 *
 * Utility statements are never kept. The entry is made by its last assignment, when all that can
 * fail is done.
 */
#include "process/plan_cache.hpp"

namespace worker_pool
{

static constexpr int kPlans = 128;
static constexpr int kLongestKey = 8192;
static constexpr int kRemembered = 512; /* a power of two */

struct KeptPlan
{
	CachedPlanSource *source;
	const char *bytes; /* the source's query string, or a copy in its context */
	int length;
	int arg_count;
	uint64 last_used;
};

/* apart from the rest, so that a search touches eight cache lines; 0 = empty */
static uint32 hashes[kPlans];
static KeptPlan plans[kPlans];
static uint64 uses = 0;
/* hashes of the keys that came lately, each at its own place */
static uint32 came[kRemembered];

/*
 * The text and the settings behind it, each name and value with its NUL; a mark tells NULL
 * from ''.
 */
static void
AppendSettings(StringInfo key, const Request &request)
{
	for (int i = 0; i < request.setting_count; i++)
	{
		const SettingItem &item = request.settings[i];

		appendBinaryStringInfo(key, item.name, static_cast<int>(strlen(item.name)) + 1);
		appendStringInfoChar(key, item.value != nullptr ? '=' : '-');
		if (item.value != nullptr)
			appendBinaryStringInfo(key, item.value, static_cast<int>(strlen(item.value)) + 1);
	}
}

PlanKey
MakePlanKey(const Request &request)
{
	const Size text_size = strlen(request.text) + 1;
	PlanKey key = {request.text, 0, request.arg_count, 0};

	if (text_size > kLongestKey)
		return key;
	key.length = static_cast<int>(text_size);
	if (request.setting_count > 0)
	{
		StringInfoData with_settings;

		initStringInfo(&with_settings);
		appendBinaryStringInfo(&with_settings, request.text, key.length);
		AppendSettings(&with_settings, request);
		key.bytes = with_settings.data;
		key.length = with_settings.len <= kLongestKey ? with_settings.len : 0;
	}
	key.hash = hash_bytes(reinterpret_cast<const unsigned char *>(key.bytes), key.length) | 1;
	return key;
}

static void
DropPlan(int index)
{
	CachedPlanSource *source = plans[index].source;

	hashes[index] = 0;
	plans[index] = {};
	DropCachedPlan(source);
}

CachedPlanSource *
FindPlan(const PlanKey &key)
{
	if (key.length == 0)
		return nullptr;
	for (int i = 0; i < kPlans; i++)
	{
		if (hashes[i] != key.hash)
			continue;

		KeptPlan &plan = plans[i];

		if (plan.length != key.length || plan.arg_count != key.arg_count ||
			memcmp(plan.bytes, key.bytes, key.length) != 0)
			continue;
		if (!plan.source->is_valid)
		{
			DropPlan(i);
			return nullptr;
		}
		plan.last_used = ++uses;
		return plan.source;
	}
	return nullptr;
}

bool
CameBefore(const PlanKey &key)
{
	uint32 &place = came[(key.hash >> 1) & (kRemembered - 1)];

	if (key.length == 0)
		return false;
	if (place == key.hash)
		return true;
	place = key.hash;
	return false;
}

bool
MayBeKept(const RawStmt *raw)
{
	switch (nodeTag(raw->stmt))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
			return true;
		default:
			return compat::IsMerge(raw->stmt);
	}
}

bool
MayBeKept(List *queries)
{
	ListCell *cell = nullptr;

	foreach(cell, queries)
		if (lfirst_node(Query, cell)->commandType == CMD_UTILITY)
			return false;
	return queries != NIL;
}

/* An empty place; the least recently used plan is dropped where there is none. */
static int
MakeRoom()
{
	int oldest = 0;

	for (int i = 0; i < kPlans; i++)
	{
		if (hashes[i] == 0)
			return i;
		if (plans[i].last_used < plans[oldest].last_used)
			oldest = i;
	}
	DropPlan(oldest);
	return oldest;
}

void
KeepPlan(const PlanKey &key, CachedPlanSource *source, List *queries, Oid *types, int count)
{
	const char *bytes = source->query_string;

	/* the result's shape may change from one use to the next: each use is a command of its own */
	CompleteCachedPlan(source, queries, nullptr, types, count, nullptr, nullptr,
					   CURSOR_OPT_PARALLEL_OK, false);
	if (static_cast<Size>(key.length) != strlen(bytes) + 1)
	{
		char *copy = static_cast<char *>(MemoryContextAlloc(source->context, key.length));

		memcpy(copy, key.bytes, key.length);
		bytes = copy;
	}

	const int index = MakeRoom();

	SaveCachedPlan(source);
	plans[index] = {source, bytes, key.length, key.arg_count, ++uses};
	hashes[index] = key.hash;
}

void
ForgetPlans()
{
	for (int i = 0; i < kPlans; i++)
		if (hashes[i] != 0)
			DropPlan(i);
}

} // namespace worker_pool
