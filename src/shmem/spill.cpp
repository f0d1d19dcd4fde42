/*
 * spill.cpp
 *	  The files that hold outcomes too large for shared memory: where they are, and their removal.
 *
 * Workers make a file (process/row_collector.cpp), sessions read it, and whoever empties the record removes
 * it: a session, a worker, the launcher, or an exit callback. Removal is a plain unlink: the file was
 * counted against temp_file_limit and reported as a temporary file when it was written.
 *
 * What is left when a step fails: a worker that dies while it writes leaves a file whose record says
 * `spilled` (that is set before the file is made), so it goes with the record. A crash of the server leaves
 * the whole folder; the server removes it at its next start, or, with remove_temp_files_after_crash = off,
 * the launcher does. An unlink that fails is a LOG line, and the file goes at the next start.
 */
#include "shmem/spill.hpp"

extern "C"
{
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* moved there from storage/fd.h in 16; before 14 the header is for programs outside the server */
#ifndef PG_TEMP_FILE_PREFIX
#include "common/file_utils.h"
#endif
}

namespace worker_pool
{

#define WP_SPILL_PREFIX PG_TEMP_FILE_PREFIX "_worker_pool."

static void
BaseFolder(char *path)
{
	TempTablespacePath(path, InvalidOid);
}

/* The name of this epoch's folder, without the path to it. */
static void
FolderName(char *name, Size size)
{
	snprintf(name, size, WP_SPILL_PREFIX "%016llx", static_cast<unsigned long long>(pool->epoch));
}

static void
FolderPath(char *path)
{
	char base[kSpillPathSize];
	char name[64];

	BaseFolder(base);
	FolderName(name, sizeof(name));
	snprintf(path, kSpillPathSize, "%s/%s", base, name);
}

void
SpillPath(uint64 command_id, char *path)
{
	char folder[kSpillPathSize];

	FolderPath(folder);
	snprintf(path, kSpillPathSize, "%s/" UINT64_FORMAT, folder, command_id);
}

void
EnsureSpillFolder()
{
	char base[kSpillPathSize];
	char folder[kSpillPathSize];

	BaseFolder(base);
	FolderPath(folder);
	PathNameCreateTemporaryDir(base, folder);
}

bool
TryEnsureSpillFolder()
{
	char base[kSpillPathSize];
	char folder[kSpillPathSize];

	BaseFolder(base);
	FolderPath(folder);
	if (MakePGDirectory(folder) == 0 || errno == EEXIST)
		return true;
	if (MakePGDirectory(base) != 0 && errno != EEXIST)
		return false;
	return MakePGDirectory(folder) == 0 || errno == EEXIST;
}

void
RemoveSpill(uint64 command_id)
{
	char path[kSpillPathSize];

	SpillPath(command_id, path);
	if (unlink(path) == 0 || errno == ENOENT)
		return;

	/* a report below ERROR ends in CHECK_FOR_INTERRUPTS, which could raise */
	HOLD_INTERRUPTS();
	ereport(LOG,
			(errcode_for_file_access(), errmsg("could not remove temporary file \"%s\": %m", path)));
	RESUME_INTERRUPTS();
}

void
RemoveForeignSpillFolders()
{
	static constexpr std::string_view kPrefix = WP_SPILL_PREFIX;
	char base[kSpillPathSize];
	char own[64];

	BaseFolder(base);
	FolderName(own, sizeof(own));

	DIR *folder = AllocateDir(base);

	if (folder == nullptr && errno == ENOENT)
		return;
	for (struct dirent *entry = ReadDirExtended(folder, base, LOG); entry != nullptr;
		 entry = ReadDirExtended(folder, base, LOG))
	{
		char path[MAXPGPATH * 2];

		if (strncmp(entry->d_name, kPrefix.data(), kPrefix.size()) != 0 ||
			strcmp(entry->d_name, own) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", base, entry->d_name);
		PathNameDeleteTemporaryDir(path);
	}
	if (folder != nullptr)
		(void) FreeDir(folder);
}

} // namespace worker_pool
