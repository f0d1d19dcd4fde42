/*
 * name_lock.cpp
 *	  See name_lock.hpp. Sessions, in the caller's transaction, whose end releases the locks; a deadlock is found as any.
 */
#include "feature/name_lock.hpp"

#include "shmem/root.hpp"

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

	/* what nobody can foresee: else a name of one's own could be found that locks another one's, too */
	const uint64 hash =
		hash_bytes_extended(reinterpret_cast<const unsigned char *>(name),
							static_cast<int>(strlen(name)), pool == nullptr ? 0 : pool->epoch);

	LockDatabaseObject(RelationGetRelid(relation), static_cast<Oid>(hash),
					   static_cast<uint16>(hash >> 32), ExclusiveLock);
}

} // namespace worker_pool
