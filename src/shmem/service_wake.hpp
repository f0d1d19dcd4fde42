/*
 * service_wake.hpp
 *	  What a transaction changed about services, told to memory when it has ended. Any process. The same protocol as
 *	  task_wake.hpp, whose callbacks call in here: notes of the subtransaction, dropped at its abort, handed to
 *	  the parent at its commit; told in the release callback after locks; nothing there allocates or raises. What
 *	  does not fit, and PREPARE TRANSACTION: the database is loaded by a visit (MarkRescan).
 */
#pragma once

#include "shmem/service_table.hpp"

namespace worker_pool
{

/* At commit: PutService with NextPushOrder(), which the callee takes now, while the row is locked. */
void ArmService(const ServiceSpec &spec, ServiceChange how);
/* At commit: DropServiceEntry. */
void ArmServiceDrop(int64 id);
/*
 * Has this transaction armed anything about that service? Then it can do nothing before its end. Also true, for any id,
 * where more was armed than there is room for.
 */
bool IsServiceArmed(int64 id);

/* --- called by task_wake.cpp ----------------------------------------------------------------------------------- */

bool HasServiceNotes();
void FireServiceNotes(TimestampTz now);
void DropServiceNotes();
void AbortServiceNotes(SubTransactionId subtransaction);
void ReparentServiceNotes(SubTransactionId subtransaction, SubTransactionId parent);

} // namespace worker_pool
