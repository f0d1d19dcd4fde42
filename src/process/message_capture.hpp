/*
 * message_capture.hpp
 *	  Takes what the server would send to a client and keeps the notices of the running command.
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

/* Notices kept for one command: the memory for them, heads and padding included. */
inline constexpr Size kMessageSpace = Size{64} * 1024;

/* Worker, once, after it connected: from now on reports reach this file as they would reach a client. */
void RedirectMessages();

/* Forgets what was kept, and keeps what comes from now on. */
void BeginMessages();
/* Keeps nothing more; what was kept stays readable. */
void EndMessages();

/* What was kept: MessageHeads and fields as in result_format.hpp, `size` bytes. */
struct KeptMessages
{
	const char *bytes;
	uint32 size;
	uint32 count;
	uint32 dropped; /* those for which there was no room */
};

KeptMessages GetKeptMessages();

} // namespace worker_pool
