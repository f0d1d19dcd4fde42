/*
 * entry_points.cpp
 *	  The registry of C entry points. Runs in every process: the postmaster, where preloaded libraries register theirs,
 *	  sessions that check the text of a service, and the processes that run one.
 *
 * A library registers in its _PG_init. Preloaded, that is in the postmaster (EXEC_BACKEND: again in each process), and
 * every process inherits the list. Otherwise the library is loaded by whoever needs the entry point: the session of a
 * superuser who makes a service of it, and each process that is to run it.
 *
 * Which library an entry point belongs to is not asked but seen: it is the file in which the struct, or the function,
 * lies. So no library can register in the name of another, and 'library:name' means what it says. The file counts by its
 * name without folder and suffix, as in CREATE FUNCTION ... AS 'library'.
 *
 * The list only grows; its nodes are in TopMemoryContext, the structs are the libraries' own. If an allocation or the
 * library's _PG_init fails, the ERROR is the caller's and nothing was added but what the library had registered before.
 */
#include "feature/entry_points.hpp"

#include <dlfcn.h>

namespace worker_pool
{

EntryPointState entry_point_state = {nullptr, -1, nullptr, false, 0, nullptr};

static constexpr Size kLibraryNameSize = Size{2} * NAMEDATALEN;
static constexpr uint32 kKnownFlags =
	WORKER_POOL_NO_DATABASE | WORKER_POOL_OWN_TRANSACTIONS | WORKER_POOL_PUBLIC;
/* As long as version 1 has it. */
static constexpr Size kServiceSize = offsetof(WorkerPoolService, main) + sizeof(void (*)());

struct EntryPoint
{
	EntryPoint *next;
	const WorkerPoolService *service;
	bool preloaded;
	char library[kLibraryNameSize];
};

static EntryPoint *entry_points = nullptr;

/* 'library:name', taken apart; library is empty where the text has none. */
struct EntryPointText
{
	char library[kLibraryNameSize];
	char name[NAMEDATALEN];
};

/* --- registering ------------------------------------------------------------------------------------------------ */

/* The file's name without its folders and suffix. False: it does not fit. */
static bool
BaseName(std::string_view path, char base[kLibraryNameSize])
{
	static constexpr std::string_view kSuffixes[] = {".so", ".dylib", ".sl", ".dll"};
	const std::size_t slash = path.find_last_of('/');

	if (slash != std::string_view::npos)
		path.remove_prefix(slash + 1);
	for (const std::string_view suffix : kSuffixes)
		if (path.size() > suffix.size() && path.substr(path.size() - suffix.size()) == suffix)
		{
			path.remove_suffix(suffix.size());
			break;
		}
	if (path.empty() || path.size() >= kLibraryNameSize)
		return false;
	memcpy(base, path.data(), path.size());
	base[path.size()] = '\0';
	return true;
}

/* The library in which the entry point lies; a struct that was allocated lies in none, its function does. */
static bool
LibraryOf(const WorkerPoolService *service, char library[kLibraryNameSize])
{
	Dl_info info = {};
	const auto function = service->cycle != nullptr ? service->cycle : service->main;

	if (dladdr(service, &info) == 0 && dladdr(reinterpret_cast<void *>(function), &info) == 0)
		return false;
	return info.dli_fname != nullptr && BaseName(info.dli_fname, library);
}

[[noreturn]] static void
RefuseService(const char *name, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("cannot register the entry point \"%s\" of a service", name),
					errdetail_internal("%s", detail)));
	pg_unreachable();
}

static void
CheckService(const WorkerPoolService *service)
{
	if (service == nullptr || service->size < kServiceSize)
		RefuseService("", "Its size is not set; WORKER_POOL_INIT sets it.");

	const char *const name = service->name == nullptr ? "" : service->name;

	if (*name == '\0' || strlen(name) >= NAMEDATALEN || strchr(name, ':') != nullptr)
		RefuseService(name, "A name has 1 to 63 bytes and no colon.");
	if ((service->cycle == nullptr) == (service->main == nullptr))
		RefuseService(name, "Exactly one of \"cycle\" and \"main\" must be set.");
	if ((service->flags & ~kKnownFlags) != 0)
		RefuseService(name, "It has flags that this version of worker_pool does not know.");

	/* of a newer header */
	for (Size i = kServiceSize; i < service->size; i++)
		if (reinterpret_cast<const char *>(service)[i] != 0)
			RefuseService(name,
						  "It has members set that this version of worker_pool does not know.");
}

/* Does that text, which may be a path, name the library? */
static bool
IsNameOf(const char *text, const char *library)
{
	char base[kLibraryNameSize] = "";

	return BaseName(text, base) && strcmp(base, library) == 0;
}

static EntryPoint *
FindRegistered(const char *library, const char *name)
{
	for (EntryPoint *point = entry_points; point != nullptr; point = point->next)
		if (strcmp(point->library, library) == 0 && strcmp(point->service->name, name) == 0)
			return point;
	return nullptr;
}

void
RegisterEntryPoint(const WorkerPoolService *service)
{
	char library[kLibraryNameSize] = "";

	CheckService(service);
	if (!LibraryOf(service, library))
		RefuseService(service->name, "It lies in no shared library.");

	EntryPoint *point = FindRegistered(library, service->name);

	if (point == nullptr)
	{
		point =
			static_cast<EntryPoint *>(MemoryContextAllocZero(TopMemoryContext, sizeof(EntryPoint)));
		strlcpy(point->library, library, sizeof(point->library));
		point->next = entry_points;
		entry_points = point;
	}
	point->service = service;
	point->preloaded = process_shared_preload_libraries_in_progress;
}

/* --- finding ---------------------------------------------------------------------------------------------------- */

/* False: it is none. */
static bool
SplitText(const char *text, EntryPointText *parts)
{
	const std::string_view whole = text;
	const std::size_t colon = whole.find_last_of(':');
	const std::string_view name = colon == std::string_view::npos ? whole : whole.substr(colon + 1);
	const bool named = !name.empty() && name.size() < sizeof(parts->name);
	const bool in_library =
		colon == std::string_view::npos || (colon > 0 && colon < sizeof(parts->library));

	*parts = {};
	if (!named || !in_library)
		return false;
	memcpy(parts->name, name.data(), name.size());
	if (colon != std::string_view::npos)
		memcpy(parts->library, whole.data(), colon);
	return true;
}

/* 22023 */
static EntryPointText
ReadText(const char *text)
{
	EntryPointText parts = {};

	if (!SplitText(text, &parts))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid entry point \"%s\"", text),
						errhint("It is 'library:name', or 'name' for one of a preloaded library.")));
	return parts;
}

/* The preloaded one of that name in any library; nullptr: none. 42725 where there are several. */
static EntryPoint *
FindPreloaded(const char *name)
{
	EntryPoint *found = nullptr;

	for (EntryPoint *point = entry_points; point != nullptr; point = point->next)
	{
		if (!point->preloaded || strcmp(point->service->name, name) != 0)
			continue;
		if (found != nullptr)
			ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_FUNCTION),
							errmsg("entry point \"%s\" is not unique", name),
							errdetail("The libraries \"%s\" and \"%s\" have one.", found->library,
									  point->library),
							errhint("Write \"%s:%s\", for example.", point->library, name)));
		found = point;
	}
	return found;
}

/* Among what this process knows by now. */
static EntryPoint *
FindKnown(const EntryPointText &parts)
{
	char base[kLibraryNameSize] = "";

	if (parts.library[0] == '\0')
		return FindPreloaded(parts.name);
	return BaseName(parts.library, base) ? FindRegistered(base, parts.name) : nullptr;
}

[[noreturn]] static void
RaiseNotFound(const char *text, const EntryPointText &parts)
{
	if (parts.library[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("entry point \"%s\" does not exist", text),
				 errdetail("No preloaded library has registered one of that name."),
				 errhint("Write 'library:%s', or add the library to \"shared_preload_libraries\", "
						 "behind worker_pool.",
						 parts.name)));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
					errmsg("entry point \"%s\" does not exist", text),
					errdetail("The library \"%s\" has registered none of that name.", parts.library),
					errhint("A library registers its entry points in _PG_init, with "
							"register_service of worker_pool.h.")));
	pg_unreachable();
}

const WorkerPoolService *
FindEntryPoint(const char *text)
{
	const EntryPointText parts = ReadText(text);
	EntryPoint *point = FindKnown(parts);

	if (point == nullptr && parts.library[0] != '\0')
	{
		load_file(parts.library, false);
		point = FindKnown(parts);
	}
	if (point == nullptr)
		RaiseNotFound(text, parts);
	return point->service;
}

/* --- who may ------------------------------------------------------------------------------------------------------ */

[[noreturn]] static void
RaiseNotPublic(const char *text, Oid role, const char *detail)
{
	char *const name = GetUserNameFromId(role, true);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for entry point \"%s\"", text), errdetail_internal("%s", detail),
			 errhint("Role \"%s\" is not a superuser: it may use entry points that are made for all, of "
					 "preloaded libraries.",
					 name == nullptr ? "?" : name)));
	pg_unreachable();
}

void
CheckEntryPointAllowed(const char *text, Oid role)
{
	if (superuser_arg(role))
	{
		(void) FindEntryPoint(text);
		return;
	}

	const EntryPointText parts = ReadText(text);

	/* a file is named by it, and another file of the same name may be what is preloaded */
	if (strchr(parts.library, '/') != nullptr)
		RaiseNotPublic(text, role, "It names a file.");

	const EntryPoint *const point = FindKnown(parts);

	if (point == nullptr || !point->preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("entry point \"%s\" does not exist in a preloaded library", text),
				 errdetail("Only superusers can have a library loaded for a service."),
				 errhint("Add the library to \"shared_preload_libraries\", behind worker_pool.")));
	if ((point->service->flags & WORKER_POOL_NO_DATABASE) != 0)
		RaiseNotPublic(text, role, "It runs without a database connection.");
	if ((point->service->flags & WORKER_POOL_PUBLIC) == 0)
		RaiseNotPublic(text, role, "Its library has not made it public.");
}

bool
IsEntryPointAllowed(const char *text, Oid role)
{
	EntryPointText parts = {};

	if (superuser_arg(role))
		return true;
	if (!SplitText(text, &parts) || strchr(parts.library, '/') != nullptr)
		return false;

	const bool with_library = parts.library[0] != '\0';

	for (const EntryPoint *point = entry_points; point != nullptr; point = point->next)
		if (point->preloaded && strcmp(point->service->name, parts.name) == 0 &&
			(!with_library || IsNameOf(parts.library, point->library)) &&
			(point->service->flags & WORKER_POOL_PUBLIC) != 0 &&
			(point->service->flags & WORKER_POOL_NO_DATABASE) == 0)
			return true;
	return false;
}

bool
IsPreloaded(const char *text)
{
	EntryPointText parts = {};

	if (!SplitText(text, &parts))
		return false;
	if (parts.library[0] == '\0')
		return true;

	for (const EntryPoint *point = entry_points; point != nullptr; point = point->next)
		if (point->preloaded && strcmp(point->service->name, parts.name) == 0 &&
			IsNameOf(parts.library, point->library))
			return true;
	return false;
}

} // namespace worker_pool
