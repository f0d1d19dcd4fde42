/*
 * encoding.cpp
 *	  Runs in sessions that look at the views: what other databases wrote into shared memory is in their
 *	  encodings. Where the server's own conversion would raise, a '?' is written instead, because one odd
 *	  character in one command must not hide all the others.
 */
#include "pg/encoding.hpp"

namespace worker_pool
{

/* A copy in which every byte that is not ASCII is '?', unless the whole is valid here. */
static char *
CopyChecked(const char *text, int length)
{
	char *const copy = pnstrdup(text, length);

	if (pg_verify_mbstr(GetDatabaseEncoding(), copy, length, true))
		return copy;
	for (int i = 0; i < length; i++)
		if (IS_HIGHBIT_SET(copy[i]))
			copy[i] = '?';
	return copy;
}

char *
ToServerEncoding(const char *text, int length, int encoding)
{
	const int server_encoding = GetDatabaseEncoding();

	if (encoding < 0 || encoding == server_encoding || encoding == PG_SQL_ASCII ||
		server_encoding == PG_SQL_ASCII)
		return CopyChecked(text, length);

	const Oid function = FindDefaultConversionProc(encoding, server_encoding);

	if (!OidIsValid(function))
		return CopyChecked(text, length);

	constexpr int kPart = 4096;
	StringInfoData result;
	char part[kPart * MAX_CONVERSION_GROWTH + 1];
	int done = 0;

	initStringInfo(&result);
	while (done < length)
	{
		CHECK_FOR_INTERRUPTS();

		const int converted =
			compat::ConvertPrefix(function, encoding, server_encoding, text + done,
								  std::min(length - done, kPart), part, sizeof(part));

		appendStringInfoString(&result, part);
		done += converted;
		/* what could not be converted, or was cut in two by the part's end, is tried once more, alone */
		if (converted > 0)
			continue;
		appendStringInfoChar(&result, '?');
		done += std::min(std::max(pg_encoding_mblen(encoding, text + done), 1), length - done);
	}
	return result.data;
}

} // namespace worker_pool
