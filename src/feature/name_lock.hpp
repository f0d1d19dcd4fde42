/*
 * name_lock.hpp
 *	  A heavyweight lock on a name of a durable row: whoever makes, changes or drops the row of that name takes turns.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * To the end of the transaction. By the whole hash, so that a transaction that makes many rows hinders nobody who works on
 * other names. Of a transaction that makes thousands only the first are locked: for the others the unique index
 * alone keeps two of a name apart (23505 for who comes second).
 */
void LockName(Relation relation, const char *name);

} // namespace worker_pool
