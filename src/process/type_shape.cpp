/*
 * type_shape.cpp
 *	  See type_shape.hpp. Runs in the worker that writes rows and in the session that reads them.
 *
 * The walk goes down to every composite type that a value of the type can hold: through domains, arrays,
 * ranges and the columns of the composite types themselves. It ends, because a type cannot contain itself.
 */
#include "process/type_shape.hpp"

namespace worker_pool
{

static uint32
Mix(uint32 shape, uint32 more)
{
	shape = hash_combine(shape, murmurhash32(more + 1));
	return shape > kTypeGone ? shape : shape + 2;
}

static uint32
RowShape(Oid type)
{
	const TupleDesc desc = lookup_rowtype_tupdesc_noerror(type, -1, true);
	uint32 shape = 0;

	if (desc == nullptr)
		return kTypeGone;
	for (int i = 0; i < desc->natts; i++)
	{
		const Form_pg_attribute attribute = compat::Attribute(desc, i);

		shape = Mix(shape, attribute->attisdropped ? 0 : attribute->atttypid);
		shape = Mix(shape, static_cast<uint32>(attribute->attlen));
		shape = Mix(shape, static_cast<uint32>(attribute->atttypmod));
		if (!attribute->attisdropped)
			shape = Mix(shape, TypeShape(attribute->atttypid));
	}
	ReleaseTupleDesc(desc);
	return shape;
}

uint32
TypeShape(Oid type)
{
	if (likely(type < FirstNormalObjectId))
		return 0;
	check_stack_depth();
	switch (get_typtype(type))
	{
		case '\0':
			return kTypeGone;
		case TYPTYPE_COMPOSITE:
			return RowShape(type);
		case TYPTYPE_DOMAIN:
			return TypeShape(getBaseType(type));
		case TYPTYPE_RANGE:
			return TypeShape(get_range_subtype(type));
		default:
			break;
	}
	if (OidIsValid(compat::RangeOfMultirange(type)))
		return TypeShape(compat::RangeOfMultirange(type));

	const Oid element = get_element_type(type);

	return OidIsValid(element) ? TypeShape(element) : 0;
}

} // namespace worker_pool
