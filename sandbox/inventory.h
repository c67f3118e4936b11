/*
 * What a process attached to had open before: no filter is asked about that any more. Each file
 * open for writing, connection and shared writable mapping is judged as if it were opened now, and put
 * down in the log.
 */
#pragma once

#include <sys/types.h>

struct watch;

struct inventory {
	unsigned files, connections, sockets, mappings; /* found */
	unsigned denied;                                /* those that the policy would refuse now */
	unsigned cut;                                   /* TCP connections shut down */
};

enum inventory_flags { INVENTORY_LIST = 0, INVENTORY_CUT = 1 };

/*
 * Adds what @pid has to @sum. The caller leads the watch. With INVENTORY_CUT, TCP connections are
 * shut down both ways: reads see the end, writes EPIPE.
 */
void inventory_take(struct watch *watch, pid_t pid, enum inventory_flags flags,
		    struct inventory *sum);
