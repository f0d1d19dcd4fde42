/*
 * type_shape.hpp
 *	  A fingerprint of what a type's values are made of.
 *
 * Rows for the database of the writer travel as bytes and may be fetched much later. A composite type can be
 * changed meanwhile (ALTER TYPE ... ALTER ATTRIBUTE, ALTER TABLE) under the same OID, and old bytes read by
 * the new definition would be taken for what they are not. So the shape travels with the rows.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * 0 for a built-in type and for every type whose definition cannot change. Needs a transaction; kTypeGone
 * where the type is not there any more.
 */
uint32 TypeShape(Oid type);

inline constexpr uint32 kTypeGone = 1;

} // namespace worker_pool
