/*
 * row_scan.hpp
 *	  A scan of one of our tables: whole, or an index in order, with a fresh snapshot of its own.
 *
 * Fresh means: it sees what was committed up to now, and what earlier commands of this transaction wrote,
 * whatever the isolation level of the transaction. Inside a transaction. After an ERROR the transaction's end
 * releases everything.
 */
#pragma once

#include "catalog/tables.hpp"

namespace worker_pool
{

struct RowScan
{
	Relation index; /* nullptr: the heap, in no order */
	Snapshot snapshot;
	SysScanDesc scan;
};

RowScan BeginTableScan(Relation relation);
/* The keys name the table's columns. They are changed. */
RowScan BeginIndexScan(Relation relation, Index index, int count, ScanKeyData *keys);
/* The next row, valid until the next call, not detoasted; nullptr at the end. Checks for interrupts. */
HeapTuple NextRow(const RowScan &scan, ScanDirection direction = ForwardScanDirection);
void EndRowScan(RowScan *scan);

} // namespace worker_pool
