/*
 * entry_points.hpp
 *	  C entry points of services: registered by libraries, found by their text 'library:name', or 'name' for one of a
 *	  preloaded library. Any process; the registry is of the process (and, from the postmaster, of all).
 */
#pragma once

#include "pg/prelude.hpp"

extern "C"
{
#include "worker_pool/worker_pool.h"
}

namespace worker_pool
{

/* Of the C interface. 22023 for one that is not complete. */
void RegisterEntryPoint(const WorkerPoolService *service);
/*
 * The entry point of that text; loads the library if it is not there, which needs no transaction. Raises 22023 for a
 * text that is none, 42883 with a hint where the library registers no such name, 42725 for a bare name that two
 * preloaded libraries have, and what load_file raises (58P01).
 */
const WorkerPoolService *FindEntryPoint(const char *text);
/*
 * May that role make a service of it, or have one: a superuser, or the entry point is public and preloaded? Else 42501
 * with a hint. Loads nothing for a role that is none (42883 with a hint: it is not preloaded). One without a database is
 * for superusers only. Needs a transaction. Besides what FindEntryPoint raises.
 */
void CheckEntryPointAllowed(const char *text, Oid role);
/* The same question without an ERROR, and without loading anything: of one that this process has found before. */
bool IsEntryPointAllowed(const char *text, Oid role);
/* Does whoever runs that text load no library for it? Needs no transaction, never raises. */
bool IsPreloaded(const char *text);

/* nullptr for another process than one that runs an entry point. Filled by service_runner.cpp. */
struct EntryPointState
{
	const WorkerPoolService *entry; /* nullptr: none runs */
	int service;					/* its entry in memory */
	const char *name;
	bool in_call;		/* inside cycle or main */
	uint64 reload_seen; /* version of the entry that sleep() has told */
	const char *config; /* of this cycle; main: asked anew */
};
extern EntryPointState entry_point_state;

} // namespace worker_pool
