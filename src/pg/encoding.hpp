/*
 * encoding.hpp
 *	  Texts of other databases, for display: conversion that never fails.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * The text in this database's encoding, in CurrentMemoryContext, with '?' for each character that has no
 * equivalent or is no valid character of `encoding`. An encoding < 0 is unknown. Inside a transaction.
 */
char *ToServerEncoding(const char *text, int length, int encoding);

} // namespace worker_pool
