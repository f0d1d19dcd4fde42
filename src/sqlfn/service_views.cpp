/*
 * service_views.cpp
 *	  What the view `services` asks of memory: a row an entry of this database. Any session, also on a hot standby.
 *
 * The entries are copied under one shared hold of the pool lock, so that the view shows one moment. The view joins them
 * with the table: a service without an entry is stopped, in quarantine, or about to be told to memory. The message of
 * the last error shows only to who may see it; the function in a view runs as the user of the view, so GetUserId() is who
 * asks.
 */
#include "sqlfn/rows.hpp"

#include "feature/authority.hpp"
#include "feature/services.hpp"
#include "pg/encoding.hpp"
#include "pg/guard.hpp"

namespace worker_pool
{

struct ServiceCopy
{
	int64 id;
	Oid owner;
	ServiceLook look;
};

/* Copies the entries of this database; returns how many. */
static int
CopyServices(ServiceCopy *copies, int most)
{
	LockScope lock(PoolLock(), LW_SHARED);
	int count = 0;

	for (int i = 0; i < ServiceCount() && count < most; i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.serial == 0 || entry.database != MyDatabaseId)
			continue;
		copies[count].id = entry.id;
		copies[count].owner = entry.owner;
		LookAtEntry(i, &copies[count].look);
		count++;
	}
	return count;
}

static void
AddLastError(RowWriter *row, const ServiceCopy &copy)
{
	const BriefError &trouble = copy.look.trouble;

	/* written by a process of this database, or plain ASCII */
	if (trouble.sqlstate == 0 || !MaySeeCommand(GetUserId(), copy.owner))
		AddNull(row);
	else
		AddText(row, ToServerEncoding(trouble.message, static_cast<int>(strlen(trouble.message)),
									  GetDatabaseEncoding()));
}

static void
WriteService(RowWriter *row, const ServiceCopy &copy)
{
	const ServiceLook &look = copy.look;

	AddBigint(row, copy.id);
	AddText(row, ServiceStateName(look.state));
	if (look.pid == 0)
		AddNull(row);
	else
		AddInt(row, look.pid);
	AddBigint(row, static_cast<int64>(look.cycles_done));
	AddBigint(row, static_cast<int64>(look.restarts));
	AddInt(row, look.failures);
	AddTime(row, look.next_start);
	AddLastError(row, copy);
	AddTime(row, look.started_at);
	AddTime(row, look.leave_since);
	EndRow(row);
}

} // namespace worker_pool

using namespace worker_pool;

/* worker_pool._services(): a row an entry of this database. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_services)
{
	RequirePool();

	RowWriter row = BeginRows(fcinfo);
	/* pages of it that are never written cost nothing */
	auto *const copies = static_cast<ServiceCopy *>(MemoryContextAllocHuge(
		CurrentMemoryContext, mul_size(ServiceCapacity(), sizeof(ServiceCopy))));
	const int count = CopyServices(copies, ServiceCapacity());

	for (int i = 0; i < count; i++)
		WriteService(&row, copies[i]);
	pfree(copies);
	return static_cast<Datum>(0);
}
