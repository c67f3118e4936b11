/*
 * One connection to the agent: who is there, and what has come. A runtime may connect long before it sends, and
 * keeps the connection when it has sent: a message is over when its JSON is.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "launcher/oci/claim.h"

enum { OCI_CONN_FDS = 8, OCI_CONN_PATIENCE_MS = 5000 };

struct json_tokener;

struct oci_conn {
	int fd; /* owned; -1 free */
	uid_t uid;
	pid_t pid;
	int fds[OCI_CONN_FDS]; /* that came; owned */
	unsigned fd_count;
	size_t have;                  /* bytes */
	uint64_t begun_ms;            /* monotonic, of the first byte; 0 none */
	struct json_tokener *tokener; /* owned */
};

/* Takes @fd over. -errno: it is closed. */
int oci_conn_open(struct oci_conn *c, int fd, struct err *err);
void oci_conn_close(struct oci_conn *c);

/*
 * Reads what is there. 1: @ret is whole. 0: more is to come. -ENODATA: the peer left without a word, which
 * a runtime that fails to start a container does. Else -errno with the reason.
 */
int oci_conn_read(struct oci_conn *c, struct oci_claim *ret, struct err *err);

/* The listener of a whole claim, the caller's; it is one, or -ENOTTY. */
int oci_conn_listener(struct oci_conn *c, const struct oci_claim *claim, struct err *err);
