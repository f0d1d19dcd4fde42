/*
 * column_check.hpp
 *	  Does the caller's column definition list fit the result?
 */
#pragma once

#include "process/outcome.hpp"

namespace worker_pool
{

/*
 * Pairs the result's columns with the live ones of the list: an array of attribute indexes, palloc'd. 42804
 * when their numbers differ.
 */
int *PairColumns(const ResultColumn *columns, int count, TupleDesc expected);

/*
 * The rows are tuples of this database: each declared type must be the result's own, or one that has the same
 * bytes, and a declared length or precision must be the result's own. 42804 naming the column.
 */
void
CheckTupleColumns(const ResultColumn *columns, int count, TupleDesc expected, const int *targets);

/*
 * The rows are tuples of another database: they can be read only where every type is built in and means the
 * same in both. 0A000 naming the column and the database to read from.
 */
void CheckForeignTuples(const OutcomeHeader &header, const ResultColumn *columns);

/* The result is a command tag: one text column must be declared. Returns its attribute index, or 42804. */
int CheckTagColumn(TupleDesc expected);

} // namespace worker_pool
