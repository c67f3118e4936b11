/*
 * What a runtime says of a container when it sends a listener: the container process state of the OCI
 * runtime-spec (config-linux.md, "seccomp listener"), and what a hook says of it beforehand. Both are claims of
 * whoever is at the other end of the socket, and bounded here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

enum { OCI_ID_SIZE = 256, OCI_PATH_SIZE = 4096, OCI_POLICY_SIZE = 128, OCI_CLAIM_MAX = 1 << 20 };

enum oci_claim_kind {
	OCI_CLAIM_LISTENER, /* a listener comes with it */
	OCI_CLAIM_CREATED,  /* a hook: the container is being made */
	OCI_CLAIM_STOPPED,  /* a hook: it is gone */
};

struct oci_claim {
	enum oci_claim_kind kind;
	char id[OCI_ID_SIZE];
	char bundle[OCI_PATH_SIZE];   /* "" none, or not absolute */
	char policy[OCI_POLICY_SIZE]; /* by metadata, else by annotation; "" none is named */
	pid_t pid;                    /* whose filter it is; 0 it did not know */
	pid_t init;                   /* the container's; 0 it did not know */
	unsigned fd_index;            /* of the listener among the descriptors that came */
	bool exec;                    /* put into a container that runs */
};

/* The parts of @text in one object. -EBADMSG with the reason. */
struct json_object;
int oci_claim_read(struct json_object *o, struct oci_claim *ret, struct err *err);
