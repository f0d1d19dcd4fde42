/*
 * cron_zones.hpp
 *	  Zones for tests, out of tables.
 */
#pragma once

#include "core/cron.hpp"

#include <cstddef>

namespace worker_pool
{

/* From this instant on the zone has this offset; the first one also before it. */
struct Step
{
	std::int64_t at;
	std::int32_t offset;
};

struct NamedZone
{
	const char *name;
	const Step *steps;
	std::size_t count;
};

inline ZoneSpan
TableSpanAt(const void *data, std::int64_t at)
{
	const auto *zone = static_cast<const NamedZone *>(data);
	std::size_t i = 1;

	while (i < zone->count && zone->steps[i].at <= at)
		i++;
	return {i < zone->count ? zone->steps[i].at : kNoEnd, zone->steps[i - 1].offset};
}

inline Zone
ZoneOf(const NamedZone &zone)
{
	return {TableSpanAt, &zone};
}

} // namespace worker_pool
