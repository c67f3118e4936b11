/* What an engine asks of a runtime: a command line of runc's or crun's, with options of ours before its verb. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum oci_call_verb {
	OCI_CALL_OTHER, /* concerns no new process */
	OCI_CALL_MAKE,  /* create, run */
	OCI_CALL_EXEC,
	OCI_CALL_RESTORE,
};

/* All borrowed from the words. */
struct oci_call {
	char **argv;        /* for the real one: without ours */
	const char *real;   /* name or path */
	const char *policy; /* NULL none */
	const char *socket;
	enum oci_call_verb verb;
	const char *bundle;  /* "." when it is not said */
	const char *config;  /* of it: config.json, or what crun is told */
	const char *process; /* NULL none */
	const char *log;     /* NULL none */
	bool log_json;
};

/*
 * Reads @words but the first; @c has defaults, and argv room for all of them. -EINVAL with the reason where a
 * word could be read in two ways: what the runtime reads must be what was patched. What was read before is in @c.
 */
int oci_call_parse(struct oci_call *c, char **words, struct err *err);
