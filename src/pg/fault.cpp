/*
 * fault.cpp
 *	  Fault points of test builds; see fault.hpp for the grammar of worker_pool.fault.
 */
#include "pg/fault.hpp"

#ifdef WORKER_POOL_FAULTS

#include <csignal>

#include <stdexcept>

namespace worker_pool
{

char *fault_setting = nullptr;

static FaultShared *fault_shared = nullptr;

void
AttachFaults(FaultShared *shared, bool found)
{
	fault_shared = shared;
	if (found)
		return;
	pg_atomic_init_u32(&shared->text_hash, 0);
	for (pg_atomic_uint32 &fired : shared->fired)
		pg_atomic_init_u32(&fired, 0);
}

/* What the setting says about one point. */
struct FaultOrder
{
	std::string_view mode;
	uint32 times; /* 0 = every time */
	int index;	  /* which element of the list: its counter */
};

/* The counters belong to one text of the setting: start anew when it changed. */
static void
StartCountingAnew(std::string_view text)
{
	uint32 hash = 2166136261U;

	for (const char c : text)
		hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;

	uint32 known = pg_atomic_read_u32(&fault_shared->text_hash);

	if (known == hash || !pg_atomic_compare_exchange_u32(&fault_shared->text_hash, &known, hash))
		return;
	for (pg_atomic_uint32 &fired : fault_shared->fired)
		pg_atomic_write_u32(&fired, 0);
}

static std::optional<FaultOrder>
FindOrder(std::string_view text, std::string_view point)
{
	for (int index = 0; !text.empty() && index < static_cast<int>(lengthof(fault_shared->fired));
		 index++)
	{
		const size_t comma = text.find(',');
		const std::string_view item = text.substr(0, comma);
		const size_t equals = item.find('=');

		text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
		if (equals == std::string_view::npos || item.substr(0, equals) != point)
			continue;

		std::string_view mode = item.substr(equals + 1);
		const size_t star = mode.find('*');
		uint32 times = 0;

		if (star != std::string_view::npos)
		{
			for (const char c : mode.substr(star + 1))
				times = times * 10 + static_cast<uint32>(c - '0');
			mode = mode.substr(0, star);
		}
		return FaultOrder{mode, times, index};
	}
	return std::nullopt;
}

/* Waits until the setting no longer names the point. */
static void
Stall(const char *point)
{
	while (fault_setting != nullptr && FindOrder(fault_setting, point).has_value())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

bool
HitFault(const char *point)
{
	if (fault_setting == nullptr || fault_setting[0] == '\0' || fault_shared == nullptr)
		return false;
	StartCountingAnew(fault_setting);

	const std::optional<FaultOrder> order = FindOrder(fault_setting, point);

	if (!order.has_value())
		return false;
	if (order->times > 0 &&
		pg_atomic_fetch_add_u32(&fault_shared->fired[order->index], 1) >= order->times)
		return false;

	if (order->mode == "error")
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", point)));
	if (order->mode == "fatal")
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("fault point \"%s\"", point)));
	if (order->mode == "exit")
		proc_exit(0);
	if (order->mode == "kill")
		kill(MyProcPid, SIGKILL);
	if (order->mode == "stall")
		Stall(point);
	if (order->mode == "hang")
		for (int i = 0; i < 500; i++)
			pg_usleep(10000); /* ignores interrupts on purpose: that is the fault */
	if (order->mode == "throw")
		throw std::runtime_error("fault point");
	if (order->mode == "bad_alloc")
		throw std::bad_alloc();
	return order->mode == "false";
}

} // namespace worker_pool

#endif
