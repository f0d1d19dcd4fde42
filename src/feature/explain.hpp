/*
 * explain.hpp
 *	  Why a task does not run, what the one that runs waits for, how the one that has ended did: in words.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* One thing that is to be known; palloc'd. detail and hint may be nullptr. */
struct Reason
{
	const char *reason;
	const char *detail;
	const char *hint; /* a statement to run, or what to do */
};

/* In the order in which they are to be dealt with; what does not fit is left out. */
struct Explanation
{
	static constexpr int kMost = 32;

	int count;
	Reason reasons[kMost];
};

/*
 * Explains the task of this database to the caller, at least in one reason. Nothing is waited for or changed;
 * the parts are looked at one after the other, so what moves meanwhile may show twice or not at all. 42704
 * for an id without a row in tasks and history; 42501 for those who may not see the task; 55000 where the
 * extension is not there. Inside a transaction; also on a hot standby.
 */
void ExplainTask(int64 id, Explanation *explanation);

} // namespace worker_pool
