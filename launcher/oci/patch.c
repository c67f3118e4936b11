#include "launcher/oci/patch.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "launcher/jsonfile.h"
#include "launcher/oci/profile.h"

const char oci_default_socket[] = "/run/vsandbox/seccomp.sock";
const char oci_policy_annotation[] = "io.vsandbox.policy";

enum { METADATA_SIZE = 256, HOOK_SECONDS = 10 };

/*
 * Beginnings of the names of annotations by which crun takes another filter or another listener than the
 * configuration's, or runs what is in the image itself, without an execve (WebAssembly), or in a machine (krun).
 */
static const char *const bypasses[] = { "run.oci.seccomp", "run.oci.handler", "module.wasm." };

int oci_patch_runtime(const char *runtime, struct err *err)
{
	static const char *const known[] = { "runc", "crun" };
	const char *slash = strrchr(runtime, '/'), *name = slash ? slash + 1 : runtime;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(name, known[i]))
			return 0;
	if (!strcmp(name, "runsc"))
		return err_set(
			err, ENOTSUP,
			"runsc (gVisor) ignores rules that notify, and would start the container "
			"unsupervised: use runc or crun");
	return err_set(
		err, ENOTSUP,
		"it is not known that the runtime %.100s heeds rules that notify: use runc or "
		"crun",
		name);
}

/* A member that is an object, made when missing. NULL: it is something else. */
static struct json_object *object_in(struct json_object *o, const char *name)
{
	struct json_object *v;
	if (json_object_object_get_ex(o, name, &v) && !json_object_is_type(v, json_type_null))
		return json_object_is_type(v, json_type_object) ? v : NULL;
	v = json_object_new_object();
	json_object_object_add(o, name, v);
	return v;
}

static int refuse_bypasses(struct json_object *config, struct err *err)
{
	struct json_object *annotations;
	if (!json_object_object_get_ex(config, "annotations", &annotations) ||
	    !json_object_is_type(annotations, json_type_object))
		return 0;
	json_object_object_foreach(annotations, name, value)
	{
		(void)value;
		for (unsigned i = 0; i < sizeof(bypasses) / sizeof(bypasses[0]); i++)
			if (strncmp(name, bypasses[i], strlen(bypasses[i])) == 0)
				return err_set(
					err, EPERM,
					"the annotation %.100s would take the container from "
					"the agent",
					name);
	}
	return 0;
}

/* The letter of @c's first character as Go compares names, which takes two others for letters; @ret_len: its bytes. */
static int folded(const char *c, size_t *ret_len)
{
	static const char long_s[] = "\xc5\xbf", kelvin[] = "\xe2\x84\xaa";
	bool s = strncmp(c, long_s, 2) == 0, k = strncmp(c, kelvin, 3) == 0;
	*ret_len = s ? 2 : k ? 3 : 1;
	return s ? 's' : k ? 'k' : *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c;
}

static bool same_for_go(const char *a, const char *b)
{
	while (*a && *b) {
		size_t a_len, b_len;
		if (folded(a, &a_len) != folded(b, &b_len))
			return false;
		a += a_len;
		b += b_len;
	}
	return *a == *b;
}

/* runc reads a member "Linux" as well, and the last one counts. */
static int refuse_twins(struct json_object *o, const char *name, struct err *err)
{
	json_object_object_foreach(o, other, value)
	{
		(void)value;
		if (strcmp(other, name) != 0 && same_for_go(other, name))
			return err_set(err, EPERM,
				       "there is a member %.40s, which runc takes for %s", other,
				       name);
	}
	return 0;
}

static void add_hook(struct json_object *hooks, const char *stage, const struct oci_patch *p)
{
	struct json_object *list, *hook = json_object_new_object(), *args = json_object_new_array();
	const char *const words[] = { "vsandbox", "oci", "hook", "--socket", p->socket, stage };
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		json_object_array_add(args, json_object_new_string(words[i]));
	json_object_object_add(hook, "path", json_object_new_string(p->program));
	json_object_object_add(hook, "args", args);
	/* empty, not missing: a hook without one may get the container's, which its image chose */
	json_object_object_add(hook, "env", json_object_new_array());
	json_object_object_add(hook, "timeout", json_object_new_int(HOOK_SECONDS));
	if (!json_object_object_get_ex(hooks, stage, &list) ||
	    !json_object_is_type(list, json_type_array)) {
		list = json_object_new_array();
		json_object_object_add(hooks, stage, list);
	}
	json_object_array_add(list, hook);
}

static int add_hooks(struct json_object *config, const struct oci_patch *p, struct err *err)
{
	struct json_object *hooks = object_in(config, "hooks");
	if (!hooks)
		return err_set(err, EINVAL, "hooks is no object");
	add_hook(hooks, "createRuntime", p);
	add_hook(hooks, "poststop", p);
	return 0;
}

/* With a policy that was named for it there may be none that says otherwise. */
static int set_metadata(struct json_object *section, const struct oci_patch *p, struct err *err)
{
	char text[METADATA_SIZE];
	const char *have = jsonfile_text(section, "listenerMetadata");
	if (!p->policy)
		return 0;
	if (strchr(p->policy, ';'))
		return err_set(err, EINVAL, "a policy's name has no ';'");
	if (snprintf(text, sizeof(text), "policy=%s", p->policy) >= (int)sizeof(text))
		return err_set(err, ENAMETOOLONG, "the policy's name is too long");
	if (have && strcmp(have, text) != 0)
		return err_set(err, EEXIST,
			       "the configuration has listenerMetadata of its own: %.100s", have);
	json_object_object_add(section, "listenerMetadata", json_object_new_string(text));
	return 0;
}

/*
 * With it a signal does not end the wait for an answer, so that a call is not made twice. crun knows it; runc
 * before 1.5 refuses to start a container whose section has flags.
 */
static void set_flags(struct json_object *section, const char *runtime)
{
	static const char flag[] = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
	const char *slash = runtime ? strrchr(runtime, '/') : NULL;
	struct json_object *flags;
	if (!runtime || strcmp(slash ? slash + 1 : runtime, "crun") != 0)
		return;
	if (!json_object_object_get_ex(section, "flags", &flags)) {
		flags = json_object_new_array();
		json_object_object_add(section, "flags", flags);
	}
	json_object_array_add(flags, json_object_new_string(flag));
}

int oci_patch_config(struct json_object *config, const struct oci_patch *p, struct err *err)
{
	int r = p->runtime ? oci_patch_runtime(p->runtime, err) : 0;
	if (r < 0)
		return r;
	if (!json_object_is_type(config, json_type_object))
		return err_set(err, EINVAL, "the configuration is no object");
	if (*p->socket != '/')
		return err_set(err, EINVAL, "the agent's socket is named from /");
	struct json_object *process = object_in(config, "process");
	struct json_object *linux_part = object_in(config, "linux");
	struct json_object *old = NULL, *new;
	if (!process || !linux_part)
		return err_set(err, EINVAL, "process or linux is no object");
	if (json_object_object_get_ex(linux_part, "seccomp", &old) &&
	    !json_object_is_type(old, json_type_object) &&
	    !json_object_is_type(old, json_type_null))
		return err_set(err, EINVAL, "linux.seccomp is no object");
	r = refuse_bypasses(config, err);
	const struct {
		struct json_object *in;
		const char *name;
	} ours[] = { { config, "process" },
		     { config, "linux" },
		     { linux_part, "seccomp" },
		     { process, "noNewPrivileges" } };
	for (unsigned i = 0; r == 0 && i < sizeof(ours) / sizeof(ours[0]); i++)
		r = refuse_twins(ours[i].in, ours[i].name, err);
	if (r < 0)
		return r;
	const char *listener = old ? jsonfile_text(old, "listenerPath") : NULL;
	if (listener && *listener) {
		if (strcmp(listener, p->socket) != 0)
			return err_set(err, EEXIST,
				       "the container has another seccomp agent: %.200s", listener);
		struct json_object *nnp;
		if (!json_object_object_get_ex(process, "noNewPrivileges", &nnp) ||
		    !json_object_get_boolean(nnp))
			return err_set(err, EPERM, "noNewPrivileges is not set");
		r = oci_profile_check(old, err);
		if (r == 0)
			r = set_metadata(old, p, err);
		return r < 0 ? r : OCI_PATCH_ALREADY;
	}
	r = oci_profile_make(old, &new, err);
	if (r < 0)
		return r;
	set_flags(new, p->runtime);
	json_object_object_add(new, "listenerPath", json_object_new_string(p->socket));
	json_object_object_add(linux_part, "seccomp", new);
	r = set_metadata(new, p, err);
	/* What an exec is verified to have loaded must not gain what its caller has not. */
	json_object_object_add(process, "noNewPrivileges", json_object_new_boolean(1));
	if (r == 0 && (p->flags & OCI_PATCH_REGISTER))
		r = add_hooks(config, p, err);
	return r;
}
