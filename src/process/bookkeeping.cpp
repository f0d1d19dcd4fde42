/*
 * bookkeeping.cpp
 *	  See bookkeeping.hpp. Worker process.
 *
 * The variables behind the settings are changed, not the settings: that costs nothing, shows nowhere, and is
 * put back in the same order on every way out. The reset of the session would not put them back, because for
 * the server's table of settings nothing has changed.
 *
 * Cancels. SIGINT between BeginBookkeeping and EndBookkeeping stays pending, and is dropped when the next task
 * begins (NoteCommandBegins) or absorbed at a task's end. Termination is served at once, as always.
 *
 * The user is the role of this worker, whatever a task, or ALTER ROLE ... SET role, has put in its place. The
 * rollback of an ERROR puts that back by itself.
 *
 * If the process dies inside, the transaction is rolled back with it.
 */
#include "process/bookkeeping.hpp"

#include "process/worker.hpp"

namespace worker_pool
{

/* What stood before; one for the process, because these scopes do not nest. */
struct Pinned
{
	bool commit;
	bool lock_timeout;
	int saved_commit;
	int saved_lock_timeout;
	Oid saved_user;
	int saved_security;
};

static Pinned pinned = {};

static void
PinLockTimeout()
{
	pinned.saved_lock_timeout = LockTimeout;
	pinned.lock_timeout = true;
	LockTimeout = 0;
}

static void
PinCommit(Durability durability)
{
	if (durability == Durability::kAsRole)
		return;
	pinned.saved_commit = synchronous_commit;
	pinned.commit = true;
	if (durability == Durability::kLazy)
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	else
		synchronous_commit =
			std::max(synchronous_commit, static_cast<int>(SYNCHRONOUS_COMMIT_LOCAL_FLUSH));
}

void
AbandonBookkeeping()
{
	if (pinned.commit)
		synchronous_commit = pinned.saved_commit;
	if (pinned.lock_timeout)
		LockTimeout = pinned.saved_lock_timeout;
	pinned = {};
}

void
BeginBookkeeping(Durability durability)
{
	Assert(!IsTransactionOrTransactionBlock());
	HOLD_CANCEL_INTERRUPTS();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	/* in recovery, where a service reads its row, it stays as the server has set it */
	XactReadOnly = RecoveryInProgress();
	XactDeferrable = false;
	GetUserIdAndSecContext(&pinned.saved_user, &pinned.saved_security);
	SetUserIdAndSecContext(SlotAt(my_slot).target.role, pinned.saved_security);
	PinLockTimeout();
	PinCommit(durability);
	MemoryContextSwitchTo(MessageContext);
}

void
EndBookkeeping()
{
	CommitTransactionCommand();
	SetUserIdAndSecContext(pinned.saved_user, pinned.saved_security);
	AbandonBookkeeping();
	RESUME_CANCEL_INTERRUPTS();
	MemoryContextSwitchTo(MessageContext);
}

void
EnterMark()
{
	PinLockTimeout();
}

void
LeaveMark()
{
	AbandonBookkeeping();
}

} // namespace worker_pool
