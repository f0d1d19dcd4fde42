/*
 * service_wake.cpp
 *	  What one transaction changed about services, and when it is told. See service_wake.hpp. Any process but parallel
 *	  workers, which cannot write.
 *
 * Plain static memory, fired by the callbacks of task_wake.cpp, whose head tells when and why nothing there can fail:
 *
 *	event						what happens to the notes
 *	end of the transaction		commit: all are told, in the order in which they were made; abort: dropped
 *	subtransaction commits		they are its parent's
 *	subtransaction aborts		dropped: the rows are as they were, and what is left says how that is
 *	PREPARE TRANSACTION			dropped; COMMIT PREPARED marks its database for a rescan (process/ddl_hooks.cpp)
 *
 * Each note is a whole row as it was after that change. Two of one row are both kept: stop_service and start_service in
 * one transaction make a service start anew, as they would in two. Only one that says nothing else than the last one
 * of that row in the same subtransaction takes its place.
 *
 * Order. NextPushOrder() is taken when a note is made: the row is locked until the transaction has ended, so of two
 * transactions the one that changed the row later has the higher number, whichever comes to tell of it first.
 *
 * What does not fit becomes a mark for the whole database at the commit, whatever became of the subtransaction: a visit
 * too many does no harm. A visit cannot know that a service was to be started anew, only how it is to be.
 */
#include "shmem/service_wake.hpp"

#include "shmem/ready.hpp"

namespace worker_pool
{

struct ServiceNote
{
	bool drop;
	ServiceChange how;
	SubTransactionId subtransaction;
	ServiceSpec spec; /* drop: id, database and order */
};

static constexpr int kArmedServices = 32;

static ServiceNote notes[kArmedServices];
static int note_count = 0;
static bool overflowed = false;

/* --- arming ---------------------------------------------------------------------------------------------------- */

/* The last note of that row, if it is this subtransaction's and says as much; nullptr: there is none. */
static ServiceNote *
FindSame(const ServiceNote &wanted)
{
	for (int i = note_count - 1; i >= 0; i--)
	{
		ServiceNote &note = notes[i];

		if (note.spec.id != wanted.spec.id)
			continue;
		return note.subtransaction == wanted.subtransaction && note.drop == wanted.drop &&
					   note.how == wanted.how && note.spec.wanted == wanted.spec.wanted
				   ? &note
				   : nullptr;
	}
	return nullptr;
}

static void
Arm(ServiceNote note)
{
	note.subtransaction = GetCurrentSubTransactionId();
	note.spec.order = NextPushOrder();

	ServiceNote *const same = FindSame(note);

	if (same != nullptr)
		*same = note;
	else if (note_count < kArmedServices)
		notes[note_count++] = note;
	else
		overflowed = true;
}

void
ArmService(const ServiceSpec &spec, ServiceChange how)
{
	Arm({false, how, InvalidSubTransactionId, spec});
}

void
ArmServiceDrop(int64 id)
{
	ServiceNote note = {};

	note.drop = true;
	note.spec.id = id;
	note.spec.database = MyDatabaseId;
	Arm(note);
}

bool
IsServiceArmed(int64 id)
{
	if (overflowed)
		return true;
	for (int i = 0; i < note_count; i++)
		if (notes[i].spec.id == id)
			return true;
	return false;
}

/* --- called by task_wake.cpp -------------------------------------------------------------------------------------- */

bool
HasServiceNotes()
{
	return note_count > 0 || overflowed;
}

void
FireServiceNotes(TimestampTz now)
{
	{
		LockScope lock(PoolLock());

		for (int i = 0; i < note_count; i++)
		{
			const ServiceSpec &spec = notes[i].spec;

			/* one for which there is no room is counted, and comes with a later load */
			if (notes[i].drop)
				DropServiceEntry(spec.database, spec.id, spec.order, now);
			else
				(void) PutService(spec, notes[i].how, now);
		}
	}
	if (overflowed)
		MarkRescan(MyDatabaseId, DT_NOBEGIN);
	DropServiceNotes();
	WakeLauncher();
	WakeServiceWaiters();
}

void
DropServiceNotes()
{
	note_count = 0;
	overflowed = false;
}

void
AbortServiceNotes(SubTransactionId subtransaction)
{
	int kept = 0;

	for (int i = 0; i < note_count; i++)
		if (notes[i].subtransaction != subtransaction)
			notes[kept++] = notes[i];
	note_count = kept;
}

void
ReparentServiceNotes(SubTransactionId subtransaction, SubTransactionId parent)
{
	for (int i = 0; i < note_count; i++)
		if (notes[i].subtransaction == subtransaction)
			notes[i].subtransaction = parent;
}

} // namespace worker_pool
