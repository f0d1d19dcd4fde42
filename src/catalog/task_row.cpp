/*
 * task_row.cpp
 *	  Reads rows of worker_pool.task. Any process.
 *
 * The fixed-width front of a row is the struct FormTask, byte by byte: the columns are NOT NULL, stand first,
 * and are aligned as the struct's members are. The assertions below hold the struct to the types of
 * worker_pool--1.0.sql; that the script has them in this order is for the pgTAP test to hold.
 */
#include "catalog/task_row.hpp"

namespace worker_pool
{

static_assert(std::is_standard_layout_v<FormTask> && std::is_trivially_copyable_v<FormTask>);
/* rows are formed with zeroes in the columns of the front, which is right for what is passed by value */
static_assert(sizeof(Datum) == 8);
static_assert(offsetof(FormTask, id) == 0);
static_assert(offsetof(FormTask, rank) == 8);
static_assert(offsetof(FormTask, due) == 16);
static_assert(offsetof(FormTask, run_at) == 24);
static_assert(offsetof(FormTask, enqueued_at) == 32);
static_assert(offsetof(FormTask, expires_at) == 40);
static_assert(offsetof(FormTask, claimed_at) == 48);
static_assert(offsetof(FormTask, scheduled_for) == 56);
static_assert(offsetof(FormTask, retry_delay_ms) == 64);
static_assert(offsetof(FormTask, timeout_ms) == 72);
static_assert(offsetof(FormTask, claim_epoch) == 80);
static_assert(offsetof(FormTask, claim_generation) == 88);
static_assert(offsetof(FormTask, trusted_epoch) == 96);
static_assert(offsetof(FormTask, schedule_id) == 104);
static_assert(offsetof(FormTask, installation) == 112 && sizeof(pg_uuid_t) == 16);
static_assert(offsetof(FormTask, database) == 128);
static_assert(offsetof(FormTask, owner) == 132);
static_assert(offsetof(FormTask, run_as) == 136);
static_assert(offsetof(FormTask, claim_slot) == 140);
static_assert(offsetof(FormTask, attempt) == 144);
static_assert(offsetof(FormTask, max_attempts) == 148);
static_assert(offsetof(FormTask, priority) == 152);
static_assert(offsetof(FormTask, queue_id) == 156);
static_assert(offsetof(FormTask, waits_for) == 160);
static_assert(offsetof(FormTask, atomic) == 164);
static_assert(offsetof(FormTask, counted) == 165);
static_assert(offsetof(FormTask, keyed) == 166);
static_assert(offsetof(FormTask, history) == 167);
static_assert(sizeof(FormTask) == 168);
static_assert(kTaskInstallation == 15 && kTaskCommand == 29 && kTaskColumns == 39);

/* The ranks that there can be are ordered, and leave INT64_MIN to schedules. */
static_assert(RankOf(PG_INT32_MAX, PG_INT32_MAX) > PG_INT64_MIN);
static_assert(RankOf(1, PG_INT32_MIN) < RankOf(0, PG_INT32_MAX));
static_assert(RankOf(0, 1) < RankOf(0, 0) && RankOf(0, 0) < RankOf(0, -1));
static_assert(RankOf(PG_INT32_MIN, PG_INT32_MIN) > RankOf(PG_INT32_MIN, 0));

void
ArmLockedRow(Relation task, HeapTuple tuple)
{
	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		ArmLockedItem(SpecOf(task, tuple));
}

ItemSpec
SpecOf(Relation task, HeapTuple tuple)
{
	const FormTask &form = *FormOf(tuple);
	const char *key = TextOf(task, tuple, kTaskConcurrencyKey);
	ItemSpec spec = {};

	spec.kind = ItemKind::kTask;
	spec.id = form.id;
	spec.database = MyDatabaseId;
	spec.role = form.run_as;
	spec.rank = form.rank;
	spec.due = form.due;
	spec.queue = form.queue_id;
	spec.concurrency = key == nullptr ? 0 : HashOfKey(form.owner, key);
	return spec;
}

bool
IsSameClaim(const FormTask &one, const FormTask &other)
{
	return one.id == other.id && one.claim_epoch == other.claim_epoch &&
		   one.claim_slot == other.claim_slot && one.claim_generation == other.claim_generation;
}

void
ClearClaim(FormTask *form)
{
	form->claim_epoch = 0;
	form->claim_slot = kNone;
	form->claim_generation = 0;
	form->claimed_at = DT_NOBEGIN;
	form->counted = false;
}

} // namespace worker_pool
