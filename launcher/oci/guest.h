/*
 * One container under the agent: a process of ours that is its session (gateway and monitor), and the channel
 * by which that gets its listeners. What is known of it is also kept by the service manager, if there is one,
 * so that an agent started anew can go on with it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "launcher/oci/claim.h"
#include "launcher/service.h"

struct oci_guest {
	char key[17]; /* of what is kept; "" free */
	uid_t uid;    /* whose runtime it is */
	char id[OCI_ID_SIZE];
	char bundle[OCI_PATH_SIZE];
	char policy[OCI_POLICY_SIZE];
	pid_t init;
	uint64_t init_ticks;
	uint32_t next;    /* number of the next listener */
	int channel_fd;   /* owned */
	int slate_fd;     /* owned */
	int worker_pidfd; /* owned */
	pid_t worker;
};

void oci_guest_finish(struct oci_guest *g);

/*
 * A new one of @claim, served under @policy from the return on. @listener_fd is taken over. 0; -errno: the
 * listener is closed, and what the container asks for fails.
 */
int oci_guest_start(struct oci_guest *g, const struct oci_claim *claim, uid_t uid,
		    const char *policy, int listener_fd, struct err *err);
/* One more listener of it (exec); taken over. */
int oci_guest_add(struct oci_guest *g, pid_t pid, int listener_fd, struct err *err);
/* Its worker has ended: nothing is kept of it any more. */
void oci_guest_forget(struct oci_guest *g);

/*
 * All that an agent before this one kept, served again; in @guests, at most @most. Descriptors that belong to
 * none are closed and no longer kept. Number of guests.
 */
unsigned oci_guest_restore(struct service_fd *fds, unsigned count, struct oci_guest *guests,
			   unsigned most);
