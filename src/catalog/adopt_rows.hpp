/*
 * adopt_rows.hpp
 *	  Inside of adopt(): what its parts (adopt.cpp, adopt_tasks.cpp) share. Nobody else includes this.
 */
#pragma once

#include "catalog/task_row.hpp"

namespace worker_pool
{

struct Adoption
{
	pg_uuid_t identity; /* of this database */
	TimestampTz now;
	MemoryContext scratch; /* reset after each row */
	List *missing;		   /* roles that are not here (adopt.cpp) */
	int adopted;		   /* rows */
	int refused;		   /* rows of roles that the caller may not become */
};

/* Is the row foreign? By the identity that adopt() gives, which is not committed yet. */
bool IsForeign(const Adoption &adoption, const pg_uuid_t &installation, Oid database);
/* The role of that name; InvalidOid where it is missing. */
Oid RoleNamed(const char *name);
/* Notes for the warning at the end that a row stays foreign because that role is missing. */
void NoteMissingRole(Adoption *adoption, const char *name);
/* Resolves both roles of a row. False: one is missing, or the caller may not become it; it is noted. */
bool ResolveRoles(Adoption *adoption, const char *owner_name, const char *run_as_name, Oid *owner,
				  Oid *run_as);
/* No id up to `used` is given out any more. `name`: of the sequence, which stands in the table's schema. */
void AdvanceSequence(Relation table, Sequence sequence, const char *name, int64 used);

/* adopt_tasks.cpp: foreign rows of task, with their keys. */
void AdoptTasks(Adoption *adoption);

} // namespace worker_pool
