/*
 * firing.hpp
 *	  What is to be done for a schedule now: which due time runs, which are skipped, when to come again. Pure
 *	  C++: no server here, and the clock is an argument.
 *
 * A schedule remembers up to which time its due times were dealt with (`checked`). Those between that and now
 * are taken together, however many they are:
 *
 *	- the last of them runs if it is not late, or (missed => once) not later than `grace`;
 *	- the others, and a last one that is too late, were missed: they are listed, the youngest kMostSkipped by
 *	  themselves and the rest as a number;
 *	- what was due before the end of a pause, or now while it is paused, was not missed: nothing is said of it.
 *
 * So a clock that jumps forward is a long sleep: one run, no storm. One that goes back by up to kClockSlackS
 * finds due times that were dealt with: nothing is due until it has caught up, nothing runs twice. One that
 * goes back further was wrong before, and to wait for it could take years: `checked` is set to now, and
 * the due times after now run, whatever ran under the wrong time.
 */
#pragma once

#include "core/cron.hpp"

namespace worker_pool
{

/* Due times younger than this are not late: a worker had to be found. */
inline constexpr std::int64_t kOnTimeS = 60;
inline constexpr std::int64_t kClockSlackS = 3600;
inline constexpr int kMostSkipped = 100;
/* Missed due times are counted up to here. */
inline constexpr std::int64_t kMostCounted = 10000;

struct FiringRequest
{
	std::int64_t checked_s; /* due times up to here were dealt with */
	std::int64_t now_s;
	std::int64_t resumed_s; /* when the last pause ended; INT64_MIN: there was none */
	bool paused;			/* at this moment */
	bool run_missed;		/* missed => once */
	std::int64_t grace_s;
};

struct FiringPlan
{
	bool clock_went_back; /* further than kClockSlackS */
	bool run;
	std::int64_t run_s; /* the due time that runs */
	int skipped_count;
	std::int64_t skipped_s[kMostSkipped]; /* oldest first */
	std::int64_t skipped_before;		  /* how many more, older than those */
	bool counted_all;		/* false: skipped_before is kMostCounted, and there are more */
	std::int64_t checked_s; /* what the schedule is to remember */
	bool has_next;
	std::int64_t next_s;
};

void PlanFiring(const ScheduleSpec &spec, const Zone &zone, const FiringRequest &request,
				FiringPlan *plan) noexcept;

} // namespace worker_pool
