/*
 * order_scan.cpp
 *	  The walk over task_order. Visits (LoadDatabase, FailTasksOfRole) and workers (LoadPair).
 *
 * "At or behind (rank, due, id)" is read as three scans in turn, each with one bound that the index can start
 * from: (rank =, due =, id >=), then (rank =, due >), then (rank >). A scan that begins there has never seen
 * the entries before.
 */
#include "catalog/order_scan.hpp"

#include "shmem/slots.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.task. */
static constexpr AttrNumber kColumnId = 1;
static constexpr AttrNumber kColumnRank = 2;
static constexpr AttrNumber kColumnDue = 3;
static constexpr AttrNumber kColumnRunAs = 18;

/* timestamp and timestamptz compare by the same C functions, under these names on every major. */
static constexpr RegProcedure kTimeEqual = F_TIMESTAMP_EQ;
static constexpr RegProcedure kTimeGreater = F_TIMESTAMP_GT;

static constexpr int kStages = 3;
static constexpr int kNoStage = kStages; /* nothing follows the present scan */

static void
Leave(OrderScan *scan)
{
	if (scan->scan != nullptr)
		systable_endscan_ordered(scan->scan);
	scan->scan = nullptr;
	scan->stage = kNoStage;
}

OrderScan
OpenOrder(Relation task)
{
	OrderScan scan = {};

	scan.task = task;
	scan.index = index_open(IndexOid(Index::kTaskOrder), AccessShareLock);
	scan.snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan.stage = kNoStage;
	return scan;
}

void
CloseOrder(OrderScan *scan)
{
	Leave(scan);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, AccessShareLock);
	*scan = {};
}

void
RefreshOrder(OrderScan *scan)
{
	Leave(scan);
	UnregisterSnapshot(scan->snapshot);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
}

static void
Begin(OrderScan *scan, int count, ScanKeyData *keys)
{
	if (scan->scan != nullptr)
		systable_endscan_ordered(scan->scan);
	scan->scan = nullptr;
	scan->scan = systable_beginscan_ordered(scan->task, scan->index, scan->snapshot, count, keys);
}

static void
KeyRole(ScanKeyData *key, Oid role)
{
	ScanKeyInit(key, kColumnRunAs, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
}

Oid
NextRole(OrderScan *scan, Oid role)
{
	ScanKeyData key;

	CHECK_FOR_INTERRUPTS();
	scan->stage = kNoStage;
	ScanKeyInit(&key, kColumnRunAs, BTGreaterStrategyNumber, F_OIDGT, ObjectIdGetDatum(role));
	Begin(scan, 1, &key);

	const HeapTuple tuple = systable_getnext_ordered(scan->scan, ForwardScanDirection);
	const Oid next = HeapTupleIsValid(tuple) ? FormOf(tuple)->run_as : InvalidOid;

	Leave(scan);
	return next;
}

void
SeekRole(OrderScan *scan, Oid role)
{
	ScanKeyData key;

	scan->stage = kNoStage;
	KeyRole(&key, role);
	Begin(scan, 1, &key);
}

void
SeekBehindRank(OrderScan *scan, Oid role, int64 rank)
{
	ScanKeyData keys[2];

	scan->stage = kNoStage;
	KeyRole(&keys[0], role);
	ScanKeyInit(&keys[1], kColumnRank, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(rank));
	Begin(scan, 2, keys);
}

/* Opens the scan of scan->stage, and counts the stage up. */
static void
BeginStage(OrderScan *scan)
{
	const int stage = scan->stage;
	ScanKeyData keys[4];

	if (stage == kStages - 1)
	{
		SeekBehindRank(scan, scan->role, scan->from.rank);
		return;
	}
	KeyRole(&keys[0], scan->role);
	ScanKeyInit(&keys[1], kColumnRank, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(scan->from.rank));
	if (stage == 0)
	{
		ScanKeyInit(&keys[2], kColumnDue, BTEqualStrategyNumber, kTimeEqual,
					TimestampTzGetDatum(scan->from.due));
		ScanKeyInit(&keys[3], kColumnId, BTGreaterEqualStrategyNumber, F_INT8GE,
					Int64GetDatum(scan->from.id));
		Begin(scan, 4, keys);
	}
	else
	{
		ScanKeyInit(&keys[2], kColumnDue, BTGreaterStrategyNumber, kTimeGreater,
					TimestampTzGetDatum(scan->from.due));
		Begin(scan, 3, keys);
	}
	scan->stage = stage + 1;
}

void
SeekFrom(OrderScan *scan, Oid role, const OrderKey &from)
{
	scan->role = role;
	scan->from = from;
	scan->stage = 0;
	BeginStage(scan);
}

HeapTuple
NextInOrder(OrderScan *scan)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		const HeapTuple tuple = systable_getnext_ordered(scan->scan, ForwardScanDirection);

		if (HeapTupleIsValid(tuple))
			return tuple;
		if (scan->stage >= kStages)
			return nullptr;
		BeginStage(scan);
	}
}

bool
IsClaimHeld(const FormTask &form)
{
	if (form.claim_epoch != static_cast<int64>(pool->epoch) || form.claim_slot < 0 ||
		form.claim_slot >= SlotCount())
		return false;

	LockScope lock(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(form.claim_slot);

	return slot.state != SlotState::kFree &&
		   slot.generation == static_cast<uint64>(form.claim_generation);
}

} // namespace worker_pool
