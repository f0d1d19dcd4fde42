/*
 * extension.cpp
 *	  Reads pg_extension: in a visiting worker, in the view `databases`, and in any session whose statement
 *	  made, changed or drops an extension.
 *
 * Through the catalog's own access methods only: no SPI, no function or operator of a user, no search_path.
 * Errors are those that the catalogs raise.
 */
#include "catalog/extension.hpp"

namespace worker_pool
{

/* One row of pg_extension, held open. */
struct ExtensionScan
{
	Relation relation;
	SysScanDesc scan;
	HeapTuple tuple; /* nullptr: there is none */
};

static ExtensionScan
OpenRow(Oid extension, Snapshot snapshot)
{
	ExtensionScan row = {};
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	row.relation = table_open(ExtensionRelationId, AccessShareLock);
	row.scan = systable_beginscan(row.relation, ExtensionOidIndexId, true, snapshot, 1, &key);
	row.tuple = systable_getnext(row.scan);
	return row;
}

static void
CloseRow(const ExtensionScan &row)
{
	systable_endscan(row.scan);
	table_close(row.relation, AccessShareLock);
}

char *
InstalledVersion()
{
	const Oid extension = get_extension_oid(kExtensionName, true);

	if (!OidIsValid(extension))
		return nullptr;

	const ExtensionScan row = OpenRow(extension, nullptr);
	char *version = nullptr;

	if (HeapTupleIsValid(row.tuple))
	{
		bool is_null = false;
		const Datum value = heap_getattr(row.tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(row.relation), &is_null);

		version = is_null ? pstrdup("") : TextDatumGetCString(value);
	}
	CloseRow(row);
	return version;
}

bool
IsOurExtension(Oid extension)
{
	const ExtensionScan row = OpenRow(extension, SnapshotSelf);
	bool ours = false;

	if (HeapTupleIsValid(row.tuple))
	{
		const auto *form = reinterpret_cast<Form_pg_extension>(GETSTRUCT(row.tuple));

		ours = strcmp(NameStr(form->extname), kExtensionName) == 0;
	}
	CloseRow(row);
	return ours;
}

} // namespace worker_pool
