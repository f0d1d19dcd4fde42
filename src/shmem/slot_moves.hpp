/*
 * slot_moves.hpp
 *	  What slots.cpp and slots_shared.cpp have in common: the steps of which the moves of slots.hpp are made. Used by
 *	  these two files only; pool lock held exclusively.
 */
#pragma once

#include "shmem/slots.hpp"

namespace worker_pool
{

/* The only writer of WorkerSlot.state and kind, and of pool->task_slots. */
void MoveSlot(WorkerSlot &slot, SlotState to, SlotKind kind);
/* The same, of its kind. */
void MoveSlot(WorkerSlot &slot, SlotState to);
/* Forgets the command, task or cycle that ended, and what was asked of it. */
void ClearWork(WorkerSlot &slot);
/* Forgets what report_progress said. */
void ClearProgress(WorkerSlot &slot);
/* What it ran is over. */
void CountDone(WorkerSlot &slot);
/* Takes the oldest queued command of the slot's own pair and runs; false when there is none. */
bool TakeNext(int index);
/* May the worker take nothing more? Then it is on its way out. */
bool Leaves(WorkerSlot &slot, bool may_continue);
/* running -> stopping, running (the next command) or idle. */
AfterCommand MoveOn(int index, bool may_continue);

} // namespace worker_pool
