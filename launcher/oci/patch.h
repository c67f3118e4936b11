/* A bundle's configuration, changed so that its container is decided on by the agent. */
#pragma once

#include "base/err.h"

struct json_object;

enum oci_patch_flags {
	OCI_PATCH_NONE = 0,
	OCI_PATCH_REGISTER =
		1, /* with hooks that tell the agent of the container beforehand, and of its end */
};

struct oci_patch {
	const char *policy;  /* for the metadata; NULL: the annotation's, or the agent's default */
	const char *socket;  /* the agent's, as the runtime sees it; absolute */
	const char *runtime; /* name or path of the program that will read it; NULL: not asked */
	const char *program; /* of the hooks: vsandbox, absolute; with OCI_PATCH_REGISTER */
	enum oci_patch_flags flags;
};

enum { OCI_PATCH_ALREADY = 1 };

/*
 * Changes @config. OCI_PATCH_ALREADY: it was so already. On an error it may be changed in part; the reason is a
 * sentence for the person who starts the container. Nothing but arguments is looked at.
 */
int oci_patch_config(struct json_object *config, const struct oci_patch *p, struct err *err);

/* -ENOTSUP: this runtime would start the container and ask nobody. */
int oci_patch_runtime(const char *runtime, struct err *err);

/* Where the agent listens when nothing is said. */
extern const char oci_default_socket[];
/* The annotation that names a container's policy. */
extern const char oci_policy_annotation[];
