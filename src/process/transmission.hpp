/*
 * transmission.hpp
 *	  The fixed text formats in which values leave one process and enter another: as pg_dump and postgres_fdw
 *	  do, so that what one side prints means the same to the other whatever both have set.
 *
 * DateStyle ISO, IntervalStyle postgres, extra_float_digits 3, bytea_output hex, xmloption content; on demand
 * search_path pg_catalog (names of the reg* types come out qualified) and lc_monetary C.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* Settings that only few types need; flags. */
inline constexpr int kTransmitNames = 1; /* reg* types */
inline constexpr int kTransmitMoney = 2;

/* Which flags does a value of the type need? Looks into domains and arrays. Needs a transaction. */
int TransmissionFlags(Oid type);

/*
 * Switches what differs and returns the GUC nest level to give to EndTransmission; 0 when nothing differed,
 * which costs a few comparisons. An ERROR in between is undone by the (sub)transaction's abort.
 */
int BeginTransmission(int flags);
void EndTransmission(int nest_level);

/*
 * A type whose values name objects of one database by their OID (regclass and its like): they mean
 * something else, or nothing, in another.
 */
bool NamesLocalObjects(Oid type);

} // namespace worker_pool
