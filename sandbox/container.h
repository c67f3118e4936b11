/* The namespaces of a container that was made by somebody else's runtime. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct container_entry {
	pid_t pid;         /* a process of it, as the /proc of proc_fd numbers it */
	int proc_fd;       /* of our own pid namespace, which we stay in; borrowed */
	int session_dirfd; /* given to the container's root where that is another user; borrowed */
	uid_t peer;        /* whose runtime made it: not root's namespaces unless root's */
};

/*
 * The caller, with one thread, moves to the container's mount namespace and root, and to its user
 * namespace if that is another: there it becomes its root. @ret_mount_ns: by which its tasks are known.
 *
 * Should do what the container's tasks may do, and mustn't do more where their ids are another
 * user's: so it is that user from then on. Errors name what is in the way; nothing is served then.
 */
int container_enter(const struct container_entry *e, ino_t *ret_mount_ns, struct err *err);
