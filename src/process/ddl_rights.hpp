/*
 * ddl_rights.hpp
 *	  Which statement needs a database free of the pool's workers, and would the server let it run?
 */
#pragma once

#include "process/drain.hpp"

namespace worker_pool
{

struct DrainRequest
{
	Oid database;
	Busy busy;
};

/*
 * Is a database to be drained before this statement runs? False also for a statement that the server is
 * going to refuse: nobody stops workers with a command that he may not run, or that cannot run here.
 * Inside a transaction; raises only what the statement itself would raise (a malformed option).
 */
bool NeedsDrain(Node *statement, bool is_top_level, DrainRequest *request);

} // namespace worker_pool
