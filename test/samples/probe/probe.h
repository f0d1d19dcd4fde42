/*
 * probe.h
 *	  What the files of the probe have in common. After postgres.h.
 */
#ifndef PROBE_H
#define PROBE_H

#include "worker_pool/worker_pool.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* The interface; 55000 where there is none. */
	extern const WorkerPoolApi *probe_api(void);

	/* _PG_init: the entry points of each file. */
	extern void register_entry_points(const WorkerPoolApi *api);
	extern void register_face(void);

	/* Writes a row into probe_events; inside a transaction. detail may be NULL. */
	extern void probe_note(const char *what, const char *detail);

#ifdef __cplusplus
}
#endif

#endif /* PROBE_H */
