/*
 * message_capture.cpp
 *	  The worker as its own client: catches notices and the last words of a FATAL.
 *
 * With whereToSendOutput = DestRemote elog.c sends each report that passes client_min_messages through
 * PqCommMethods, as parallel workers do (libpq/pqmq.c is the model). Ours has no other end: a NoticeResponse
 * is copied, as it stands, into a fixed array; of an ErrorResponse only a FATAL's is kept, because an ERROR
 * reaches the outcome by ErrorData (worker_command.cpp); everything else that a client would get
 * (NotificationResponse) is dropped.
 *
 * It is called in the middle of error reporting, perhaps because memory ran out. So it allocates nothing,
 * raises nothing, reports nothing and takes no lock; the arrays are static, and their pages are untouched,
 * so free, in every process that has no notices. A command without notices costs nothing here.
 *
 * Texts arrive in client_encoding. The worker starts with the server's own, but a command or a role's
 * settings may choose another, so each message is kept with its encoding.
 */
#include "process/message_capture.hpp"

#include "process/message_codec.hpp"
#include "process/result_format.hpp"
#include "process/result_writer.hpp"
#include "shmem/commands.hpp"

namespace worker_pool
{

alignas(MAXIMUM_ALIGNOF) static char kept_bytes[kMessageSpace];
static uint32 kept_size = 0;
static uint32 kept_count = 0;
static uint32 dropped_count = 0;
static bool keeping = false;

static BriefError last_fatal = {};
static bool had_fatal = false;

/* The encoding in which elog.c has written what arrives now. */
static int
ArrivingEncoding()
{
	const int client = pg_get_client_encoding();

	/* to SQL_ASCII nothing is converted */
	return client == PG_SQL_ASCII ? GetDatabaseEncoding() : client;
}

static void
KeepNotice(const char *fields, Size length)
{
	if (!keeping)
		return;

	const Size needed = sizeof(MessageHead) + MAXALIGN(length);

	/* once one was dropped all later ones are, so that what is shown has no gap */
	if (dropped_count > 0 || length > kMessageSpace || kept_size + needed > kMessageSpace)
	{
		dropped_count++;
		return;
	}

	const MessageHead head = {static_cast<uint32>(length), ArrivingEncoding()};
	char *const place = kept_bytes + kept_size;

	memcpy(place, &head, sizeof(head));
	memcpy(place + sizeof(head), fields, length);
	memset(place + sizeof(head) + length, 0, MAXALIGN(length) - length);
	kept_size += static_cast<uint32>(needed);
	kept_count++;
}

static void
KeepFatal(const char *fields, Size length)
{
	const char *const severity = FindField(fields, length, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *const state = FindField(fields, length, PG_DIAG_SQLSTATE);

	if (severity == nullptr || strcmp(severity, "FATAL") != 0)
		return;

	const bool known = state != nullptr && strlen(state) == 5;

	SetBriefError(&last_fatal,
				  known ? MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])
						: ERRCODE_INTERNAL_ERROR,
				  FindField(fields, length, PG_DIAG_MESSAGE_PRIMARY),
				  FindField(fields, length, PG_DIAG_MESSAGE_DETAIL),
				  FindField(fields, length, PG_DIAG_MESSAGE_HINT));
	had_fatal = true;
}

static void
TakeMessage(char type, const char *body, Size length)
{
	if (type == 'N')
		KeepNotice(body, length);
	else if (type == 'E')
		KeepFatal(body, length);
}

static int
PutMessage(char type, const char *body, size_t length)
{
	TakeMessage(type, body, length);
	return 0;
}

static void
PutMessageNoBlock(char type, const char *body, size_t length)
{
	TakeMessage(type, body, length);
}

static const PQcommMethods kCaptureMethods = {
	+[]() {},	+[]() { return 0; }, +[]() { return 0; }, +[]() { return false; },
	PutMessage, PutMessageNoBlock,	 WP_COMM_COPY_METHODS};

void
RedirectMessages()
{
	PqCommMethods = &kCaptureMethods;
	whereToSendOutput = DestRemote;
	FrontendProtocol = PG_PROTOCOL_LATEST;
}

void
BeginMessages()
{
	kept_size = kept_count = dropped_count = 0;
	keeping = true;
}

void
EndMessages()
{
	keeping = false;
}

KeptMessages
GetKeptMessages()
{
	return {kept_bytes, kept_size, kept_count, dropped_count};
}

const BriefError *
LastFatal()
{
	return had_fatal ? &last_fatal : nullptr;
}

} // namespace worker_pool
