#include "launcher/oci/claim.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "launcher/jsonfile.h"
#include "launcher/oci/patch.h"
#include "policies/policy.h"

/* "" it has none. */
static const char *text_in(struct json_object *o, const char *name)
{
	const char *text = jsonfile_text(o, name);
	return text ? text : "";
}

static int copy(char *to, size_t size, const char *text, const char *what, struct err *err)
{
	size_t len = strlen(text);
	if (len >= size)
		return err_set(err, EBADMSG, "its %s is too long", what);
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f) /* it is written to logs and terminals */
			return err_set(err, EBADMSG, "its %s has control characters", what);
	memcpy(to, text, len + 1);
	return 0;
}

static int pid_in(struct json_object *o, const char *name, pid_t *ret, struct err *err)
{
	struct json_object *v;
	*ret = 0;
	if (!json_object_object_get_ex(o, name, &v))
		return 0;
	int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
	if (n < 0 || n > INT_MAX)
		return err_set(err, EBADMSG, "its %s is no process number", name);
	*ret = (pid_t)n;
	return 0;
}

/* "policy=NAME" among the parts of the metadata, which ';' divides. */
static const char *metadata_policy(const char *text, char name[static OCI_POLICY_SIZE])
{
	static const char key[] = "policy=";
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ";");
		if (strncmp(at, key, sizeof(key) - 1) == 0) {
			snprintf(name, OCI_POLICY_SIZE, "%.*s", (int)(len - (sizeof(key) - 1)),
				 at + sizeof(key) - 1);
			return name;
		}
		at += len + (at[len] == ';');
	}
	return "";
}

static int read_state(struct json_object *state, struct oci_claim *ret, struct err *err)
{
	const char *bundle = text_in(state, "bundle");
	struct json_object *annotations;
	int r = copy(ret->id, sizeof(ret->id), text_in(state, "id"), "id", err);
	if (r == 0 && !*ret->id)
		r = err_set(err, EBADMSG, "it names no container");
	if (r == 0 && *bundle == '/')
		r = copy(ret->bundle, sizeof(ret->bundle), bundle, "bundle", err);
	if (r == 0)
		r = pid_in(state, "pid", &ret->init, err);
	ret->exec = !strcmp(text_in(state, "status"), "running");
	if (r == 0 && !*ret->policy &&
	    json_object_object_get_ex(state, "annotations", &annotations) &&
	    json_object_is_type(annotations, json_type_object)) {
		r = copy(ret->policy, sizeof(ret->policy),
			 text_in(annotations, oci_policy_annotation), "policy", err);
		/* whoever writes a pod writes it: one of those installed, no file of the writer's */
		if (r == 0 && policy_is_path(ret->policy))
			r = err_set(err, EBADMSG,
				    "its annotation %s names a file: an annotation may name only "
				    "an installed policy",
				    oci_policy_annotation);
	}
	return r;
}

static int read_fds(struct json_object *o, struct oci_claim *ret, struct err *err)
{
	struct json_object *fds;
	if (!json_object_object_get_ex(o, "fds", &fds) ||
	    !json_object_is_type(fds, json_type_array))
		return err_set(err, EBADMSG, "it names no descriptors");
	for (size_t i = 0; i < json_object_array_length(fds); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(fds, i));
		if (name && !strcmp(name, "seccompFd")) {
			ret->fd_index = (unsigned)i;
			return 0;
		}
	}
	return err_set(err, EBADMSG, "none of its descriptors is called seccompFd");
}

int oci_claim_read(struct json_object *o, struct oci_claim *ret, struct err *err)
{
	struct json_object *state;
	*ret = (struct oci_claim){ .kind = OCI_CLAIM_LISTENER };
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EBADMSG, "it is no object");
	if (json_object_object_get_ex(o, "vsandboxHook", NULL)) {
		bool stopped = !strcmp(text_in(o, "vsandboxHook"), "poststop");
		ret->kind = stopped ? OCI_CLAIM_STOPPED : OCI_CLAIM_CREATED;
	} else {
		const char *metadata = text_in(o, "metadata");
		int r = copy(ret->policy, sizeof(ret->policy),
			     metadata_policy(metadata, ret->policy), "policy", err);
		if (r == 0)
			r = read_fds(o, ret, err);
		if (r == 0)
			r = pid_in(o, "pid", &ret->pid, err);
		if (r < 0)
			return r;
	}
	if (!json_object_object_get_ex(o, "state", &state) ||
	    !json_object_is_type(state, json_type_object))
		return err_set(err, EBADMSG, "it says nothing of the container's state");
	return read_state(state, ret, err);
}
