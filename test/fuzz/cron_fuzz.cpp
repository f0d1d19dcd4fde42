/*
 * cron_fuzz.cpp
 *	  Any text to the parser of schedules; what it takes is searched: every due time lies behind the one
 *	  before, nothing lies between, and the search forward and back agree. libFuzzer finds the texts.
 *
 * The first two bytes choose the zone and the time from which on is searched, the rest is the text.
 */
#include "core/cron.hpp"
#include "core/firing.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace
{

using namespace worker_pool;

/* A zone whose offset changes by `change` every `length` seconds, to and fro. */
struct Swinging
{
	std::int64_t length;
	std::int32_t offset;
	std::int32_t change;
};

ZoneSpan
SwingingSpanAt(const void *data, std::int64_t at)
{
	const auto *zone = static_cast<const Swinging *>(data);
	const std::int64_t number = at / zone->length - (at % zone->length < 0 ? 1 : 0);
	const bool odd = (number & 1) != 0;

	return {(number + 1) * zone->length, zone->offset + (odd ? zone->change : 0)};
}

constexpr Swinging kZones[] = {
	{15778476, 3600, 3600},		 /* half a year, as most */
	{15778476, 37800, 1800},	 /* half an hour, as Lord Howe */
	{15778476, -39600, 86400},	 /* a day skipped, and repeated */
	{1000000, -12600, 3600},	 /* far more often than any zone */
	{86400 * 40, 43200, -90000}, /* from one end of the earth to the other */
};

[[noreturn]] void
Broken()
{
	std::abort();
}

void
Expect(bool holds)
{
	if (!holds)
		Broken();
}

void
CheckError(std::size_t length, const ScheduleError &error)
{
	Expect(error.position >= 1 && static_cast<std::size_t>(error.position) <= length + 1);
	Expect(error.reason[0] != '\0');
	Expect(std::memchr(error.reason, '\0', sizeof(error.reason)) != nullptr);
	for (const char *c = error.reason; *c != '\0'; c++)
		Expect(*c >= ' ' && *c <= '~');
}

void
CheckSearch(const ScheduleSpec &spec, const Zone &zone, std::int64_t after)
{
	std::int64_t times[6] = {after};
	int count = 0;

	while (count < 5 && NextTime(spec, zone, times[count], &times[count + 1]))
	{
		count++;
		Expect(times[count] > times[count - 1]);

		/* from anywhere in between, the same */
		const std::int64_t middle = times[count - 1] + (times[count] - times[count - 1]) / 2;
		std::int64_t again = 0;

		Expect(NextTime(spec, zone, middle, &again) && again == times[count]);
	}
	if (spec.kind == ScheduleKind::kReboot)
		Expect(count == 0);
	else if (after < INT64_C(7000000000000))
		Expect(count == 5);
	for (int i = 1; i <= count; i++)
	{
		std::int64_t last = 0;

		Expect(LastTime(spec, zone, after, times[i], &last) && last == times[i]);
		Expect(LastTime(spec, zone, after, times[i] - 1, &last) == (i > 1) &&
			   (i == 1 || last == times[i - 1]));
	}
}

void
CheckFiring(const ScheduleSpec &spec, const Zone &zone, std::int64_t checked, std::int64_t now)
{
	const FiringRequest request = {checked, now, INT64_MIN, false, true, 3600};
	FiringPlan plan;

	PlanFiring(spec, zone, request, &plan);
	Expect(!plan.run || (plan.run_s > checked && plan.run_s <= now && now - plan.run_s <= 3600));
	Expect(!plan.has_next || plan.next_s > plan.checked_s);
	for (int i = 0; i < plan.skipped_count; i++)
	{
		Expect(plan.skipped_s[i] > (i == 0 ? checked : plan.skipped_s[i - 1]));
		Expect(plan.skipped_s[i] <= now && (!plan.run || plan.skipped_s[i] < plan.run_s));
	}
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size)
{
	if (size < 2)
		return 0;

	const std::string_view text(reinterpret_cast<const char *>(data) + 2, size - 2);
	const unsigned zone_number = data[0] % 6;
	const Zone zone = zone_number == 5 ? kUtc : Zone{SwingingSpanAt, &kZones[zone_number]};
	/* from the time of the Caesars to the end of time */
	const std::int64_t after =
		data[1] == 255
			? kEndOfInstants - 86400 * 400
			: INT64_C(-62135596800) + data[1] * INT64_C(987654321) + data[0] * INT64_C(1234567);
	ScheduleSpec spec;
	ScheduleError error;

	if (!ParseSchedule(text, &spec, &error))
	{
		CheckError(text.size(), error);
		return 0;
	}
	CheckSearch(spec, zone, after);
	if (spec.kind != ScheduleKind::kReboot)
		CheckFiring(spec, zone, after, after + data[0] * INT64_C(10000));
	return 0;
}
