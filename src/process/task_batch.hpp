/*
 * task_batch.hpp
 *	  The worker's batch of durable work: items taken from the ready queue, their rows claimed by one
 *	  transaction. Worker process only.
 */
#pragma once

#include "catalog/task_store.hpp"
#include "feature/request.hpp"

namespace worker_pool
{

/* What is to be done about an item. */
enum class Errand : uint8
{
	kNone,	   /* nothing any more */
	kTaken,	   /* nothing is known of it yet */
	kRun,	   /* claimed: run it */
	kAlone,	   /* to be claimed alone, counted, flushed; then run */
	kLost,	   /* an attempt of it ended with its process or its server: record that */
	kExpired,  /* its time is over: end it */
	kRole,	   /* its role is gone: end it */
	kSchedule, /* make a schedule's task */
	kDrop,	   /* its row is gone, or not for us */
	kLocked,   /* a transaction holds the row */
	kHeld,	   /* another process has claimed the row */
	kLater,	   /* not before `due` */
};

struct BatchEntry
{
	TakenItem item;
	Errand errand;
	bool ours;				/* the row carries our claim */
	bool begun;				/* BeginItem has said yes */
	bool careful;			/* kAlone: it was unfinished at a crash, so only one at a time */
	bool foreign;			/* kLost: the claim is of another epoch */
	TimestampTz due;		/* kLater */
	TimestampTz lost_since; /* kLost: when the attempt began */
	ClaimedTask claimed;	/* kRun, kLost, kExpired, kRole; kAlone: the version that was seen */
	Request request;		/* kRun */
	const char *name;		/* nullptr: none */
	const char *role_name;	/* kRole */
};

/* Worker, once. */
void InitTaskBatch();

/* This process's claim, as it stands in rows and as it is called void when it was given up. */
Claim MyClaim();
VoidClaim MyVoidClaim();

enum class Take : uint8
{
	kBatch,	  /* there are entries */
	kNothing, /* nothing to do */
	kNotNow, /* there is something, but it cannot be had at this moment: look again after a while */
	kForbidden, /* the process may not run here any more; nothing was claimed */
};
/* Outside a transaction, the last batch being through. Raises what the catalogs raise: see AbandonTake. */
Take TakeBatch();
/*
 * Recovery block, after the rollback, where TakeBatch has raised: the entry that it was about, if any, is put
 * off; all others go back.
 */
void AbandonTake();

/* The next entry with something to do; nullptr: the batch is through. */
BatchEntry *NextEntry();
/* Gives back all entries that NextEntry has not handed out. */
void DropBatch();

/*
 * Claims the entry's row, alone and flushed, in a transaction of its own; then its errand says what to do.
 * Inside is all that a claim in the batch does, too.
 */
void ClaimAlone(BatchEntry *entry);
/* Does for kDrop, kLocked, kHeld and kLater what is to be done. */
void SettleEntry(BatchEntry *entry);
/* The item is tried again in ten seconds: what failed was not the task. */
void PutOff(BatchEntry *entry);

} // namespace worker_pool
