/*
 * ddl_effects.hpp
 *	  What DDL makes the pool do once it is committed: workers check their authority, databases are visited
 *	  or forgotten.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * Each notes that at this transaction's commit ... A (sub)transaction's abort before the end of the
 * statement may leave the note standing: a spurious check or visit is harmless.
 */
/* ... idle workers look whether they still may do what they could when they connected; */
void ArmAuthorityChange();
/* ... the same, because role or database settings changed; */
void ArmSettingChange();

/*
 * Installs object_access_hook, which notes by itself what becomes of databases and of the extension, and
 * the (sub)transaction callbacks; _PG_init.
 */
void InstallDdlEffects();

} // namespace worker_pool
