/*
 * lock_scope.hpp
 *	  An LWLock held for a leaf scope.
 *
 * Released on return; after a longjmp the destructor does not run and LWLockReleaseAll frees the lock at
 * abort or exit. Therefore: only in scopes that read and write fields and move list nodes, all on one
 * screen. No palloc, elog, hash_search, SPI, spawn, wait or catalog look-up inside.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

class LockScope
{
public:
	explicit LockScope(LWLock *lock, LWLockMode mode = LW_EXCLUSIVE)
		: lock_(lock)
	{
		LWLockAcquire(lock_, mode);
	}
	~LockScope()
	{
		LWLockRelease(lock_);
	}
	LockScope(const LockScope &) = delete;
	LockScope &operator=(const LockScope &) = delete;

private:
	LWLock *lock_;
};

} // namespace worker_pool
