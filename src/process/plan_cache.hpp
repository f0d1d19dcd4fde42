/*
 * plan_cache.hpp
 *	  Kept plans: a repeated command skips parse, analysis, rewriting and planning. Worker process
 *	  only.
 */
#pragma once

#include "process/executor.hpp"

namespace worker_pool
{

/*
 * What decides which plan a command may use. The bytes belong to the request, or to
 * CurrentMemoryContext.
 */
struct PlanKey
{
	const char *bytes; /* the text, and behind its NUL the settings where the command has any */
	int length;		   /* of all bytes; 0 = too long to be kept */
	int arg_count;
	uint32 hash; /* never 0 */
};

PlanKey MakePlanKey(const Request &request);

/*
 * The kept plan of that key, or nullptr. Inside a transaction, because invalidations have to be in:
 * one that is no longer valid is dropped, and the text is analyzed anew.
 */
CachedPlanSource *FindPlan(const PlanKey &key);

/* Has the key come before? Else remembers that it came. Only what comes twice is worth keeping. */
bool CameBefore(const PlanKey &key);

/* Is it of a kind that may be kept (SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES)? */
bool MayBeKept(const RawStmt *raw);
/* Of the rewritten queries: none of them is a utility statement. */
bool MayBeKept(List *queries);

/*
 * Completes a source (made by CreateCachedPlan before the analysis) and keeps it; the least
 * recently used plan gives way. Up to the last step an ERROR leaves nothing behind.
 */
void KeepPlan(const PlanKey &key, CachedPlanSource *source, List *queries, Oid *types, int count);

} // namespace worker_pool
