/* What engines and runtimes start at a container's stages: stdin has its JSON, and nothing outlives the call. */
#pragma once

#include "base/err.h"
#include "launcher/oci/patch.h"

/* precreate: the configuration from stdin, changed, to stdout (oci-hooks(5) of podman). 0, -errno. */
int oci_hook_precreate(const struct oci_patch *p, struct err *err);

/*
 * createRuntime and poststop: tells the agent of the container whose state is on stdin, and waits until it has
 * heard. A container whose agent hears nothing is not started. 0, -errno.
 */
int oci_hook_tell(const char *stage, const char *socket, struct err *err);
