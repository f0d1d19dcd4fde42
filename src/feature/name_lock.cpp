/*
 * name_lock.cpp
 *	  See name_lock.hpp. Sessions, in the caller's transaction, whose end releases the locks; a deadlock is found as any.
 */
#include "feature/name_lock.hpp"

namespace worker_pool
{

/* A place in the server's lock table each, of which it has few: more names than this are not locked. */
static constexpr int kMostNameLocks = 1000;

void
LockName(Relation relation, const char *name)
{
	static LocalTransactionId transaction = InvalidLocalTransactionId;
	static int count = 0;
	const LocalTransactionId current = compat::MyLocalTransaction();

	if (transaction != current)
		count = 0;
	transaction = current;
	if (++count > kMostNameLocks)
		return;

	const uint32 hash =
		hash_bytes(reinterpret_cast<const unsigned char *>(name), static_cast<int>(strlen(name)));

	LockDatabaseObject(RelationGetRelid(relation), static_cast<Oid>(hash), 0, ExclusiveLock);
}

} // namespace worker_pool
