/*
 * syntax.hpp
 *	  The check of a command's syntax when a verb is called, so that a typo is the caller's error at once and
 *	  not an outcome to be fetched later.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * Parses the text (nothing is analysed: tables may appear later). Raises the parser's error (42601) with
 * its position in the command text; 42601 for arguments with a text that is not exactly one statement;
 * 0A000 for COPY FROM STDIN and COPY TO STDOUT. A text that passed is remembered for a while.
 */
void CheckSyntax(const Request &request);

} // namespace worker_pool
