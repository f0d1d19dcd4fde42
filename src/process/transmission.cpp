/*
 * transmission.cpp
 *	  The fixed text formats. See transmission.hpp.
 *
 * Called in a worker around output functions (rows for another database) and around the input of arguments,
 * and in a session around output functions (worker_pool.args) and the input of text rows.
 *
 * The settings are changed at a GUC nest level of their own with GUC_ACTION_SAVE, which is allowed in
 * parallel mode too; after set_transmission_modes of contrib/postgres_fdw. Most sessions have these values
 * anyway, so usually no level is opened.
 */
#include "process/transmission.hpp"

extern "C"
{
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/xml.h"
}

namespace worker_pool
{

/* The smallest that prints a float so that it reads back the same; 1 to 3 mean the same since 12. */
static constexpr int kFloatDigits = 1;

bool
NamesLocalObjects(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
			return true;
		default:
			return false;
	}
}

int
TransmissionFlags(Oid type)
{
	const Oid base = getBaseType(type);
	const Oid element = get_element_type(base);

	if (OidIsValid(element))
		return TransmissionFlags(element);
	if (base == CASHOID)
		return kTransmitMoney;
	return NamesLocalObjects(base) ? kTransmitNames : 0;
}

/* Sets one, at a new nest level if none is open yet. */
static void
Switch(int *nest_level, const char *name, const char *value)
{
	if (*nest_level == 0)
		*nest_level = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

int
BeginTransmission(int flags)
{
	int nest_level = 0;

	if (DateStyle != USE_ISO_DATES)
		Switch(&nest_level, "datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		Switch(&nest_level, "intervalstyle", "postgres");
	if (extra_float_digits < kFloatDigits)
		Switch(&nest_level, "extra_float_digits", "3");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		Switch(&nest_level, "bytea_output", "hex");
	if (xmloption != XMLOPTION_CONTENT)
		Switch(&nest_level, "xmloption", "content");
	if (flags & kTransmitNames)
		Switch(&nest_level, "search_path", "pg_catalog");
	if (flags & kTransmitMoney)
		Switch(&nest_level, "lc_monetary", "C");
	return nest_level;
}

void
EndTransmission(int nest_level)
{
	if (nest_level != 0)
		AtEOXact_GUC(true, nest_level);
}

} // namespace worker_pool
