/*
 * row_scan.cpp
 *	  Scans of our tables. Any process that has a transaction: visits, workers, sessions.
 *
 * The server's own scan of catalogs (genam.c) serves user tables as well where the caller brings the snapshot:
 * it has no privileges, rules, row security or planner in its way.
 */
#include "catalog/row_scan.hpp"

namespace worker_pool
{

RowScan
BeginTableScan(Relation relation)
{
	RowScan scan = {};

	scan.snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan.scan = systable_beginscan(relation, InvalidOid, false, scan.snapshot, 0, nullptr);
	return scan;
}

RowScan
BeginIndexScan(Relation relation, Index index, int count, ScanKeyData *keys)
{
	RowScan scan = {};

	scan.index = index_open(IndexOid(index), AccessShareLock);
	scan.snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan.scan = systable_beginscan_ordered(relation, scan.index, scan.snapshot, count, keys);
	return scan;
}

HeapTuple
NextRow(const RowScan &scan, ScanDirection direction)
{
	CHECK_FOR_INTERRUPTS();
	return scan.index == nullptr ? systable_getnext(scan.scan)
								 : systable_getnext_ordered(scan.scan, direction);
}

void
EndRowScan(RowScan *scan)
{
	if (scan->index == nullptr)
		systable_endscan(scan->scan);
	else
	{
		systable_endscan_ordered(scan->scan);
		index_close(scan->index, AccessShareLock);
	}
	UnregisterSnapshot(scan->snapshot);
	*scan = {};
}

} // namespace worker_pool
