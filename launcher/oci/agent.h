/*
 * The seccomp agent: listens for runtimes, and starts a session for each container whose listener it is sent.
 */
#pragma once

#include <sys/types.h>

enum { OCI_AGENT_UIDS = 64 };

enum oci_agent_flags {
	OCI_AGENT_NONE = 0,
	OCI_AGENT_REGISTERED = 1, /* only containers that a createRuntime hook has told of */
};

struct oci_agent_options {
	const char *listen; /* socket to make; NULL: those that the service manager passes */
	const char *
		default_policy; /* where a container names none; NULL: such a container is refused */
	uid_t uids
		[OCI_AGENT_UIDS]; /* who may connect besides root and ourselves: with the default policy */
	unsigned uid_count;
	enum oci_agent_flags flags;
};

/* Until SIGTERM or SIGINT. The exit code. */
int oci_agent_run(const struct oci_agent_options *o);
