/*
 * Two parsers read a line after us. For runc's "-bundle" is "--bundle"; for crun's it is "-b undle", and long options
 * may be cut off. What the one or the other would read otherwise than we do is refused.
 */
#include "launcher/oci/call.h"

#include <errno.h>
#include <string.h>

struct word {
	const char *name; /* without dashes; NULL: it is no option */
	size_t len;
	unsigned dashes;
	const char *value; /* behind '='; NULL none */
};

static struct word split(const char *text)
{
	struct word w = { .dashes = (unsigned)strspn(text, "-") };
	if (w.dashes == 0 || !text[w.dashes])
		return (struct word){ 0 };
	w.name = text + w.dashes;
	w.len = strcspn(w.name, "=");
	w.value = w.name[w.len] ? w.name + w.len + 1 : NULL;
	return w;
}

static bool is(const struct word *w, const char *name)
{
	return strlen(name) == w->len && strncmp(w->name, name, w->len) == 0;
}

/* As crun's parser takes it: cut off anywhere behind its first @least letters. */
static bool shortens(const struct word *w, const char *name, size_t least)
{
	return w->len >= least && w->len <= strlen(name) && strncmp(w->name, name, w->len) == 0;
}

/* The value, in the word or in the next one; @words is moved on to the last that belongs to it. */
static int take_value(const struct word *w, char ***words, const char **ret, struct err *err)
{
	*ret = w->value ? w->value : *++*words;
	if (*ret)
		return 0;
	--*words;
	return err_set(err, EINVAL, "the option %.40s wants a value", **words);
}

static enum oci_call_verb verb_of(const char *word)
{
	static const struct {
		const char *name;
		enum oci_call_verb verb;
	} verbs[] = { { "create", OCI_CALL_MAKE },
		      { "run", OCI_CALL_MAKE },
		      { "exec", OCI_CALL_EXEC },
		      { "restore", OCI_CALL_RESTORE } };
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(word, verbs[i].name))
			return verbs[i].verb;
	return OCI_CALL_OTHER;
}

static bool is_any(const struct word *w, const char *const names[])
{
	while (*names && !is(w, *names))
		names++;
	return *names != NULL;
}

/* Ours are taken out. 1: it was one. */
static int take_own(struct oci_call *c, const struct word *w, char ***words, struct err *err)
{
	const struct {
		const char *name;
		const char **to;
	} own[] = { { "vsandbox-policy", &c->policy },
		    { "vsandbox-real", &c->real },
		    { "vsandbox-socket", &c->socket } };
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (is(w, own[i].name)) {
			int r = take_value(w, words, own[i].to, err);
			return r < 0 ? r : 1;
		}
	return 0;
}

/* Before the verb: an option that is not known may have the verb for its value, or not. */
static int global_option(struct oci_call *c, const struct word *w, char ***words, struct err *err)
{
	static const char *const valued[] = { "root",      "criu",           "rootless",
					      "log-level", "cgroup-manager", NULL };
	static const char *const plain[] = { "debug", "systemd-cgroup", "version", "v",
					     "V",     "help",           "h",       NULL };
	const char *value;
	if (is(w, "log"))
		return take_value(w, words, &c->log, err);
	if (is(w, "log-format")) {
		int r = take_value(w, words, &value, err);
		c->log_json = r == 0 && !strcmp(value, "json");
		return r;
	}
	if (is_any(w, valued))
		return take_value(w, words, &value, err);
	if (w->value || is_any(w, plain))
		return 0;
	return err_set(err, EINVAL, "is the word behind %.40s its value? Write it with '='",
		       **words);
}

/* Of exec: behind the container's name stand words of its program's. */
static int exec_option(struct oci_call *c, const struct word *w, char ***words, struct err *err)
{
	static const char *const valued[] = {
		"console-socket",  "cwd",    "env",          "e",   "user",          "u",
		"additional-gids", "g",      "pid-file",     "cap", "process-label", "c",
		"apparmor",        "cgroup", "preserve-fds", NULL
	};
	const char *value;
	if (is(w, "p") || shortens(w, "process", 2))
		return take_value(w, words, &c->process, err);
	return is_any(w, valued) ? take_value(w, words, &value, err) : 0;
}

/* Of create and run: what names the file that the runtime reads. */
static int make_option(struct oci_call *c, const struct word *w, char ***words, struct err *err)
{
	if (shortens(w, "bundle", 1))
		return take_value(w, words, &c->bundle, err);
	if (is(w, "f") || shortens(w, "config", 4))
		return take_value(w, words, &c->config, err);
	return 0;
}

static int read_option(struct oci_call *c, const struct word *w, bool verb_seen, char ***words,
		       struct err *err)
{
	bool plain = w->dashes == 2 || (w->dashes == 1 && w->len == 1 && !w->value);
	if (!plain && (!verb_seen || c->verb != OCI_CALL_OTHER))
		return err_set(
			err, EINVAL,
			"%.40s: runtimes read this in two ways; write --NAME or -LETTER, and "
			"the value behind it",
			**words);
	if (!verb_seen)
		return global_option(c, w, words, err);
	if (c->verb == OCI_CALL_MAKE)
		return make_option(c, w, words, err);
	return c->verb == OCI_CALL_EXEC ? exec_option(c, w, words, err) : 0;
}

int oci_call_parse(struct oci_call *c, char **words, struct err *err)
{
	unsigned count = 1;
	bool verb_seen = false, over = false;
	for (words++; *words; words++) {
		char **first = words;
		struct word w = over ? (struct word){ 0 } : split(*words);
		int r = w.name && !verb_seen ? take_own(c, &w, &words, err) : 0;
		if (r == 1)
			continue;
		if (r == 0 && w.name) {
			r = read_option(c, &w, verb_seen, &words, err);
		} else if (r == 0 && !verb_seen && strcmp(*words, "--") != 0) {
			c->verb = verb_of(*words);
			verb_seen = true;
		} else if (r == 0 && verb_seen) {
			over = c->verb == OCI_CALL_EXEC;
		}
		if (r < 0)
			return r;
		while (first <= words)
			c->argv[count++] = *first++;
	}
	return 0;
}
