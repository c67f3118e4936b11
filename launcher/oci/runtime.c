#include "launcher/oci/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "launcher/jsonfile.h"
#include "launcher/log.h"
#include "launcher/oci/call.h"
#include "launcher/oci/patch.h"

enum { CONFIG_MAX = 16 << 20, NAME_SIZE = 64, FAILED = 1 };

static const char link_prefix[] = "vsandbox-";

const char *oci_runtime_name(const char *argv0)
{
	const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;
	size_t len = sizeof(link_prefix) - 1;
	if (strncmp(name, link_prefix, len) != 0)
		return NULL;
	name += len;
	return !strncmp(name, "runc", 4) || !strncmp(name, "crun", 4) ? name : NULL;
}

/* "runc" or "runc-POLICY" */
static int split_link(const char *name, struct oci_call *c, char runtime[static NAME_SIZE])
{
	size_t len = strcspn(name, "-");
	if (len != 4 || strlen(name) >= NAME_SIZE)
		return -EINVAL;
	memcpy(runtime, name, len);
	runtime[len] = '\0';
	c->real = runtime;
	if (name[len] == '-' && name[len + 1])
		c->policy = name + len + 1;
	return 0;
}

/* To the person, and to the runtime's log, which is all that containerd shows of a failure. */
static int fail(const struct oci_call *c, const char *text)
{
	log_error("%s", text);
	if (!c->log)
		return FAILED;
	cleanup_fd int fd =
		open(c->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	char stamp[40];
	time_t now = time(NULL);
	struct tm utc;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "level", json_object_new_string("error"));
	json_object_object_add(o, "msg", json_object_new_string(text));
	json_object_object_add(o, "time", json_object_new_string(stamp));
	const char *line = c->log_json ? json_object_to_json_string(o) : text;
	if (fd >= 0 && fd_write_all(fd, line, strlen(line)) == 0)
		(void)fd_write_all(fd, "\n", 1); /* there is nowhere left to say that it failed */
	json_object_put(o);
	return FAILED;
}

static int patch_bundle(const struct oci_call *c, struct err *err)
{
	char path[PATH_MAX];
	bool from_root = *c->config == '/';
	if (snprintf(path, sizeof(path), "%s%s%s", from_root ? "" : c->bundle, from_root ? "" : "/",
		     c->config) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "the bundle's name is too long");
	struct json_object *config = jsonfile_open(AT_FDCWD, path, CONFIG_MAX, err);
	if (!config)
		return -EBADMSG;
	const struct oci_patch p = { .policy = c->policy, .socket = c->socket, .runtime = c->real };
	int r = oci_patch_config(config, &p, err);
	/* also when it was patched before: of a member that stands there twice a runtime may take the other one */
	if (r >= 0)
		r = jsonfile_replace(path, config, err);
	json_object_put(config);
	return r;
}

/* The filter of an exec is the container's; its process is as strict only if it gains no privileges. */
static int patch_process(const struct oci_call *c, struct err *err)
{
	struct json_object *nnp;
	if (!c->process)
		return 0;
	struct json_object *process = jsonfile_open(AT_FDCWD, c->process, CONFIG_MAX, err);
	if (!process)
		return -EBADMSG;
	int r = 0;
	if (!json_object_object_get_ex(process, "noNewPrivileges", &nnp) ||
	    !json_object_get_boolean(nnp)) {
		json_object_object_add(process, "noNewPrivileges", json_object_new_boolean(1));
		r = jsonfile_replace(c->process, process, err);
	}
	json_object_put(process);
	return r;
}

static int prepare(const struct oci_call *c, struct err *err)
{
	int r = oci_patch_runtime(c->real, err);
	if (r < 0)
		return r;
	switch (c->verb) {
	case OCI_CALL_MAKE:
		return patch_bundle(c, err);
	case OCI_CALL_EXEC:
		return patch_process(c, err);
	case OCI_CALL_RESTORE:
		return err_set(err, ENOTSUP,
			       "what is restored from a checkpoint has the filter that it had, and "
			       "no agent: it would not be decided on");
	case OCI_CALL_OTHER:
		break;
	}
	return 0;
}

int oci_runtime_main(char **argv)
{
	unsigned count = 0;
	while (argv[count])
		count++;
	char runtime[NAME_SIZE] = "runc";
	cleanup_free char **words = calloc(count + 1, sizeof(*words));
	struct oci_call c = { .argv = words,
			      .real = runtime,
			      .socket = oci_default_socket,
			      .bundle = ".",
			      .config = "config.json" };
	struct err err;
	const char *name = oci_runtime_name(argv[0]);
	if (!words)
		return FAILED;
	if (name && split_link(name, &c, runtime) < 0) {
		log_error("%s: neither vsandbox-runc nor vsandbox-crun, with a policy or without",
			  argv[0]);
		return FAILED;
	}
	int r = oci_call_parse(&c, argv, &err);
	if (r == 0)
		r = prepare(&c, &err);
	if (r < 0)
		return fail(&c, err.text);
	unsetenv("RUN_OCI_SECCOMP_RECEIVER");  /* by which crun sends the listener elsewhere */
	c.argv[0] = (char *)(uintptr_t)c.real; /* execvp has the historical prototype */
	execvp(c.real, c.argv);
	err_sys(&err, errno, "%s", c.real);
	return fail(&c, err.text);
}
