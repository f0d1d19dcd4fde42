/*
 * visit.hpp
 *	  The parts of a visit: looking (visit.cpp), and what durable rows want (visit_work.cpp). The process of a
 *	  visit only.
 */
#pragma once

#include "process/worker.hpp"

namespace worker_pool
{

/*
 * Runs one step of a visit in a transaction of its own. False: it failed, was rolled back, logged, and noted
 * in the database's entry.
 */
bool RunVisitStep(void (*step)());

/*
 * Does what the rows of this database want, the extension being here in a version that we serve, outside of
 * recovery. whole: for whatever reason the visit was asked for, everything is loaded.
 */
void TendRows(bool whole);

/* The part of it that a visit in recovery does: tells memory the services, and brings configs. Writes nothing. */
void TendRowsInRecovery();

} // namespace worker_pool
