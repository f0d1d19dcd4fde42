/*
 * verb_arguments.hpp
 *	  Reading and checking the arguments of SQL functions: every verb reads an argument of the same meaning
 *	  the same way and refuses it with the same words. `n` is the argument's position, from 0. NULL means
 *	  the default wherever there is one.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * What every verb begins with: the pool must be there (55000), and the call must not come from a
 * security-restricted operation (42501).
 */
void EnterVerb();

/* A command's id; NULL: 22004. An id that cannot be one is passed on: it will not be found. */
uint64 ReadCommandId(FunctionCallInfo fcinfo, int n);

/* The command text, palloc'd; NULL: 22004. */
const char *ReadCommandText(FunctionCallInfo fcinfo, int n);

/*
 * text[] into request->args. NULL and '{}': none. Not one-dimensional: 2202E; more than 65535, which is
 * what a statement can have: 54023.
 */
void ReadArgs(FunctionCallInfo fcinfo, int n, Request *request);

/*
 * jsonb into request->settings. NULL and '{}': none. Anything but an object of strings, numbers, booleans
 * and nulls: 22023. A null takes the setting back to its default.
 */
void ReadSettings(FunctionCallInfo fcinfo, int n, Request *request);

/* name of a database; NULL: the current one. 3D000. */
Oid ReadDatabase(FunctionCallInfo fcinfo, int n);
/* name of a role; NULL: the current user. 42704. */
Oid ReadRole(FunctionCallInfo fcinfo, int n);

/*
 * interval into milliseconds, rounded up; NULL: default_ms. 22023 for one that is negative, infinite, more
 * than 2^31-1 ms (24 days 20 hours), or has months: their length varies. `argument` is its name in errors.
 */
int64 ReadInterval(FunctionCallInfo fcinfo, int n, const char *argument, int64 default_ms);
/* The `timeout` of a command: NULL is worker_pool.default_timeout, '0' is none; returns 0 for none. */
int64 ReadTimeout(FunctionCallInfo fcinfo, int n);

/* A command's name; nullptr when there is none. More than 63 bytes: 42622, for it would be cut. */
const char *ReadName(FunctionCallInfo fcinfo, int n);

/* boolean; NULL: false. */
bool ReadFlag(FunctionCallInfo fcinfo, int n);

/* --- of tasks, queues and schedules ------------------------------------------------------------------------ */

/* A task's id; NULL: 22004. */
int64 ReadTaskId(FunctionCallInfo fcinfo, int n);
/*
 * bigint[], sorted, each once; nullptr and *count 0 for none. 22004 nulls in it, 2202E more than one dimension,
 * 54023 more than 1000.
 */
int64 *ReadTaskIds(FunctionCallInfo fcinfo, int n, const char *argument, int *count);
/* The `args` and `settings` to be stored, after ReadArgs and ReadSettings have checked them; '{}' for NULL. */
Datum ReadArgsToStore(FunctionCallInfo fcinfo, int n);
Datum ReadSettingsToStore(FunctionCallInfo fcinfo, int n);
/* name of a queue; nullptr for NULL. 42622 more than 63 bytes, 22023 empty. */
const char *ReadQueueName(FunctionCallInfo fcinfo, int n);
/* Any text that is stored and indexed, or nullptr. 22001 more than 1024 bytes. */
const char *ReadKey(FunctionCallInfo fcinfo, int n, const char *argument);
/* int; NULL: otherwise. 22023 below `least`. */
int32 ReadCount(FunctionCallInfo fcinfo, int n, const char *argument, int32 otherwise, int32 least);
/* The `max_attempts` of a task; NULL: 0. 22023 below 1 and above 1000. */
int32 ReadMaxAttempts(FunctionCallInfo fcinfo, int n);
/* timestamptz; NULL: otherwise. 22023 for an infinite one. */
TimestampTz ReadTime(FunctionCallInfo fcinfo, int n, const char *argument, TimestampTz otherwise);
/* 'all', 'errors', 'off' as the letter that is stored; NULL: worker_pool.history. Else 22023. */
char ReadHistory(FunctionCallInfo fcinfo, int n);
/* boolean: 1, 0, or -1 for NULL. */
int ReadTristate(FunctionCallInfo fcinfo, int n);
/*
 * One of the words, as its number; NULL: 0. Else 22023 with a hint that lists them. `words` ends with nullptr.
 */
int ReadWord(FunctionCallInfo fcinfo, int n, const char *argument, const char *const *words);
/* text[] of option names for alter_*: bit i of the result for words[i]. 22023 for any other, 22004 for null. */
uint32 ReadReset(FunctionCallInfo fcinfo, int n, const char *const *words);
/* 22023 for an option that is both set and reset. */
void RefuseSetAndReset(bool set, bool reset, const char *option);

/* on_full: true for 'error', false for 'queue' and NULL; else 22023. */
bool ReadErrorWhenFull(FunctionCallInfo fcinfo, int n);

} // namespace worker_pool
