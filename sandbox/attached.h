/*
 * What the monitors of processes that are not in a box of ours share: monitor_attach.c, monitor_container.c.
 * Private to sandbox/.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/attach.h"
#include "sandbox/tree.h"
#include "sandbox/watch.h"

struct attached_watch {
	const struct monitor_plan *plan;
	struct watch *watch;
	struct attachment attachment;
	struct tree tree;
	int channel_fd; /* a container's; -1 none */
	ino_t mount_ns; /* a container's; 0 none */
	bool killed;
	/* Takes in what has come on the channel. false: whoever sends is gone, and nothing is decided any more. */
	bool (*on_channel)(struct attached_watch *w);
};

/*
 * A watch, its log, journal and first worker, who waits for the leadership, which the caller then
 * holds. Where the calls are to be made: this namespace's root. @proc_fd: of a /proc that numbers as we do.
 */
int attached_prepare(struct attached_watch *w, int proc_fd, struct err *err);
/*
 * Until nobody is left behind the listeners. @gateway: it is there, and its end is everybody's; but of a
 * container, which is its runtime's: it goes on, and what it asks for fails.
 */
void attached_supervise(struct attached_watch *w, bool gateway);
