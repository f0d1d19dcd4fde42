/*
 * statement_kind.hpp
 *	  What kind of command a text is, for `atomic`. Any session; nothing is analysed or run.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

enum class StatementKind : uint8
{
	kOrdinary,	   /* can be atomic */
	kOutsideBlock, /* a single statement that cannot run in a transaction block (VACUUM, CREATE INDEX CONCURRENTLY, ...) */
	kMixed,		   /* such a statement among others: it can run neither way */
	kControl,	   /* holds transaction control other than savepoints, or PREPARE TRANSACTION */
};

/* The syntax was checked. `what`: the statement in question, for the error; a constant, nullptr for kOrdinary. */
StatementKind ClassifyCommand(const char *text, const char **what);

/*
 * Resolves `atomic`: given 1/0, or -1 for NULL. Raises 0A000 for atomic => true with a statement that cannot
 * run in a block and for such a statement among others, 2D000 for an atomic command with transaction control,
 * each with a hint.
 */
bool ResolveAtomic(const char *text, int given);

} // namespace worker_pool
