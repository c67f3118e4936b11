/*
 * A path resolved: the directory that holds it, the last component, the object.
 * What is judged and what is acted upon are this one thing.
 *
 * Inside the sandbox, names change only by the monitor's own hand (every call
 * that makes, moves or removes a name is carried out here, one at a time), so a
 * place stays true from its resolution to the call made on it.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/action.h"
#include "sandbox/dirs.h"
#include "sandbox/tracee.h"

struct place {
	int parent_fd; /* O_PATH; owned, unless lent. -1 when the object was reached by descriptor alone */
	bool lent; /* parent_fd is the memory's of env->dirs */
	bool seen; /* parent_fd was looked at: its mount and times are */
	uint64_t parent_mnt;
	struct statx_timestamp parent_atime, parent_mtime;
	int object_fd; /* O_PATH; owned; -1 not opened or nothing there (see exists) */
	bool exists;
	bool magic;     /* reached by a descriptor: there is no parent and leaf to act on */
	bool by_writer; /* … one in /proc/PID/fd that is open for writing itself */
	bool nameless; /* … and no path leads to it: the sandbox's own, nothing to decide or undo */
	struct stat st;               /* of the object, when it exists */
	uint64_t mnt_id;              /* its mount, when it exists; 0 not looked at */
	char leaf[NAME_MAX + 4];      /* with its trailing slash if the caller wrote one */
	char path[ACTION_PATH_SIZE];  /* canonical, absolute */
	char alias[ACTION_PATH_SIZE]; /* as asked, made absolute; "" when it is the same */
};

enum place_flags {
	PLACE_NOFOLLOW = 0, /* a final symbolic link is the object */
	PLACE_FOLLOW = 1,
	PLACE_EMPTY_PATH = 2, /* "" names the descriptor itself (AT_EMPTY_PATH) */
	PLACE_OBJECT = 4,     /* object_fd is wanted */
	PLACE_SLASH_FOLLOWS =
		8,        /* a slash after a final link follows it (not so for names to remove) */
	PLACE_ALONE = 16, /* no parent is wanted to act in, only the object */
};

/* Descriptors of the monitor that every resolution needs; all borrowed. */
struct place_env {
	int root_fd; /* the sandbox's root */
	int self_fd; /* the outer /proc/self/fd */
	int proc_fd; /* the outer /proc */
	struct dirs *dirs;
	dev_t proc_dev;  /* device of the sandbox's own /proc */
	bool creds_vary; /* a task may have changed who it is: look before walking or acting */
};

/*
 * Resolves @path for @task. 0 also when the last component does not exist but its parent does. Else
 * the errno the kernel would give. @ret must be finished when 0 is returned.
 */
int place_resolve(const struct place_env *env, const struct tracee *task, int dirfd,
		  const char *path, enum place_flags flags, struct place *ret);
void place_finish(struct place *p);
/* The call goes on beside others: what was lent becomes its own. */
void place_own(struct place *p);

/*
 * The place that @fd (O_PATH; taken over, also on failure) leads to, without a parent to act in. The path
 * of a file deleted meanwhile is the one it had. 0, -errno; finished like a resolved one.
 */
int place_from_fd(const struct place_env *env, int fd, struct place *ret);

/*
 * Where @path, absolute or relative to @dirfd, begins: its fd is AT_FDCWD for an absolute one. 0 and to be
 * finished, or -errno; -ELOOP: no path leads there, only the descriptor knows.
 */
int place_begin(const struct place_env *env, const struct tracee *task, int dirfd, const char *path,
		struct dir *ret);
void place_begin_finish(struct dir *d);

/*
 * The file or directory that @path, from @at on, leads to over symbolic links, which the kernel follows: pinned, with its
 * own name as its path, and as its alias what @p->path was before, the path as it was asked for. @flags: O_NOFOLLOW or 0.
 * 0; -ELOOP, whatever it was that did not fit: walk, as place_resolve does.
 */
int place_follow(const struct place_env *env, int at, const char *path, uint64_t flags,
		 struct place *p);

/* Opens the object as O_PATH if that was not done yet. 0, -errno. */
int place_pin(struct place *p);

/* Path of one of our own descriptors as the sandbox sees it; length or -errno. */
ssize_t place_fd_path(const struct place_env *env, int fd, char *buf, size_t size);

/*
 * Lexical join of an absolute @base and @path ("." and "//" go, ".." takes one
 * component). true, or false when it does not fit.
 */
bool place_join(const char *base, const char *path, char *buf, size_t size);
