/* The containers that a createRuntime hook has told of. */
#pragma once

#include <sys/types.h>

#include "launcher/oci/claim.h"

enum { OCI_REGISTERED = 1024 };

struct oci_registered {
	uid_t uid;
	pid_t pid;            /* of its init; 0 the hook did not know */
	char id[OCI_ID_SIZE]; /* "" free */
};

struct oci_registry {
	struct oci_registered all[OCI_REGISTERED];
	unsigned next;
};

/* NULL: nobody has told of it. */
struct oci_registered *oci_registered_find(struct oci_registry *r, uid_t uid, const char *id);
/* How many are @uid's. */
unsigned oci_registered_count(const struct oci_registry *r, uid_t uid);
/* Where there is no room the oldest goes. */
void oci_registered_add(struct oci_registry *r, uid_t uid, const struct oci_claim *claim);
void oci_registered_remove(struct oci_registry *r, uid_t uid, const char *id);
