/*
 * order_scan.hpp
 *	  A walk over waiting tasks in the order in which they are to run: index task_order (run_as, rank, due, id).
 *
 * One snapshot, many places: the walk jumps from role to role and from rank to rank by new scan keys, so what
 * lies between is never looked at: neither 5 million rows nor the index entries of tasks that ended while a
 * long snapshot keeps them.
 */
#pragma once

#include "catalog/task_row.hpp"

namespace worker_pool
{

struct OrderScan
{
	Relation task;
	Relation index;
	Snapshot snapshot;
	SysScanDesc scan; /* nullptr: no place was chosen yet */
	Oid role;		  /* of SeekFrom ... */
	OrderKey from;
	int stage; /* ... and which part of "at or behind `from`" is being read; see order_scan.cpp */
};

/* The first and the last key that there can be. */
inline constexpr OrderKey kFirstKey = {PG_INT64_MIN, PG_INT64_MIN, PG_INT64_MIN};
inline constexpr OrderKey kLastKey = {PG_INT64_MAX, PG_INT64_MAX, PG_INT64_MAX};

inline OrderKey
KeyOf(const FormTask &form)
{
	return {form.rank, form.due, form.id};
}

/* Inside a transaction; `task` is open. Takes a fresh snapshot. */
OrderScan OpenOrder(Relation task);
void CloseOrder(OrderScan *scan);
/* Takes a fresh snapshot; a place must be chosen anew. */
void RefreshOrder(OrderScan *scan);

/* The role that comes after this one (InvalidOid: the first) and has rows; InvalidOid: there is none. */
Oid NextRole(OrderScan *scan, Oid role);
/* Places. All rows of the role; those at or behind the key; those of ranks behind this one. */
void SeekRole(OrderScan *scan, Oid role);
void SeekFrom(OrderScan *scan, Oid role, const OrderKey &from);
void SeekBehindRank(OrderScan *scan, Oid role, int64 rank);
/* The next row of the role, valid until the next call; nullptr at its end. Checks for interrupts. */
HeapTuple NextInOrder(OrderScan *scan);

/* Does a process of this server that is there hold the claim in the row? Takes the pool lock. */
bool IsClaimHeld(const FormTask &form);

} // namespace worker_pool
