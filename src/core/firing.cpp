/*
 * firing.cpp
 *	  See firing.hpp. Runs in the worker that takes a schedule's item.
 */
#include "core/firing.hpp"

#include <algorithm>

namespace worker_pool
{

/* How many due times are in (after, until]; kMostCounted and *all false when there are more. */
static std::int64_t
CountTimes(const ScheduleSpec &spec, const Zone &zone, std::int64_t after, std::int64_t until,
		   bool *all)
{
	std::int64_t count = 0;
	std::int64_t next = 0;

	*all = true;
	if (spec.kind == ScheduleKind::kRate)
	{
		if (!NextTime(spec, zone, after, &next) || next > until)
			return 0;
		return (until - next) / spec.period_s + 1;
	}
	while (NextTime(spec, zone, after, &next) && next <= until)
	{
		if (count == kMostCounted)
		{
			*all = false;
			break;
		}
		count++;
		after = next;
	}
	return count;
}

/* Lists the due times in (after, until] as missed. */
static void
ListSkipped(const ScheduleSpec &spec, const Zone &zone, std::int64_t after, std::int64_t until,
			FiringPlan *plan)
{
	std::int64_t last = 0;

	while (plan->skipped_count < kMostSkipped && LastTime(spec, zone, after, until, &last))
	{
		plan->skipped_s[plan->skipped_count++] = last;
		until = last - 1;
	}
	std::reverse(plan->skipped_s, plan->skipped_s + plan->skipped_count);
	plan->counted_all = true;
	if (plan->skipped_count == kMostSkipped)
		plan->skipped_before = CountTimes(spec, zone, after, until, &plan->counted_all);
}

void
PlanFiring(const ScheduleSpec &spec, const Zone &zone, const FiringRequest &request,
		   FiringPlan *plan) noexcept
{
	const std::int64_t now = request.now_s;
	const std::int64_t lateness =
		request.run_missed ? std::max(request.grace_s, kOnTimeS - 1) : kOnTimeS - 1;
	std::int64_t last = 0;

	*plan = {};
	plan->counted_all = true;
	plan->clock_went_back = request.checked_s - kClockSlackS > now;
	plan->checked_s = plan->clock_went_back ? now : std::max(request.checked_s, now);

	const std::int64_t from = std::max(request.checked_s, request.resumed_s);

	if (!request.paused && from < now && LastTime(spec, zone, from, now, &last))
	{
		plan->run = now - last <= lateness;
		plan->run_s = last;
		ListSkipped(spec, zone, from, plan->run ? last - 1 : last, plan);
	}
	plan->has_next = NextTime(spec, zone, plan->checked_s, &plan->next_s);
}

} // namespace worker_pool
