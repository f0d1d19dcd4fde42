/*
 * fault.hpp
 *	  Fault points, compiled into test builds only (-DWORKER_POOL_FAULTS).
 *
 * WP_FAULT("launcher.before_register") does nothing unless the setting worker_pool.fault names the point:
 *
 *		worker_pool.fault = 'POINT=MODE[*TIMES][,POINT=MODE...]'
 *
 * MODE: error | fatal | exit (exit code 0) | kill (SIGKILL to oneself) | stall (waits on the latch until
 * the setting no longer names the point; interruptible) | hang (a loop that ignores interrupts, 5 s) |
 * throw (a C++ exception) | bad_alloc | false (WP_FAULT_FALSE returns true). TIMES bounds how often the
 * point fires over all processes together since the setting got this text; without it: every time.
 * The counters live in shared memory, so a restarted process does not start counting anew.
 * Points inside a leaf lock scope are not allowed (they may ereport).
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* Shared part: one counter a point of the current text. Placed in the shared root. */
struct FaultShared
{
	pg_atomic_uint32 text_hash;
	pg_atomic_uint32 fired[8];
};

#ifdef WORKER_POOL_FAULTS

extern char *fault_setting; /* the value of worker_pool.fault; defined in fault.cpp */

void AttachFaults(FaultShared *shared, bool found);
/* Acts on the point if the setting names it; returns true where the mode is `false`. */
bool HitFault(const char *point);

#define WP_FAULT(point) ((void) worker_pool::HitFault(point))
#define WP_FAULT_FALSE(point) (worker_pool::HitFault(point))

#else

#define WP_FAULT(point) ((void) 0)
#define WP_FAULT_FALSE(point) (false)

#endif

} // namespace worker_pool
