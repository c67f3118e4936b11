#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policies/policy_index.h"
#include "policies/policy_loader.h"

/* How one flag is applied. */
struct flag {
	const char *name;
	int (*apply)(struct loader *l, const struct flag *f, const char *value, void *field);
	size_t offset; /* of the field in struct policy */
	double max;
	const struct words *words;
};

/* What a program cannot even start without writing to; no data is kept there. */
static const char *const devices[] = { "/dev/null", "/dev/zero",   "/dev/full", "/dev/tty",
				       "/dev/ptmx", "/dev/pts/**", "/dev/std*", "/dev/fd/**" };

/*
 * The first --allow on a policy that has no allow list narrows it from all to
 * PATTERN. The program must still load: what the policy calls ambient stays
 * readable.
 */
static int apply_allow(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f, (void)field;
	struct policy *p = l->p;
	int rc = 0;
	if (!p->allowed.present && !p->allowed_read.present)
		for (unsigned i = 0; rc == 0 && i < p->ambient.count; i++) {
			/* Its text is expanded already; wildcards in it were escaped then. */
			rc = list_append(l, &p->allowed_read, LIST_PATHS,
					 p->ambient.items[i].pattern.text, p->ambient.items[i].name,
					 NULL);
		}
	if (!p->allowed.present && !p->allowed_write.present)
		for (size_t i = 0; rc == 0 && i < sizeof(devices) / sizeof(devices[0]); i++)
			rc = list_append(l, &p->allowed_write, LIST_PATHS, devices[i], NULL, NULL);
	return rc ? rc : list_append(l, &p->allowed, LIST_PATHS, value, NULL, NULL);
}

static int fraction(const struct loader *l, const struct flag *f, const char *value, double *ret)
{
	char *end;
	double n = strtod(value, &end);
	if (end == value || *end || !isfinite(n) || n < 0 || n > f->max)
		return loader_fail(l, NULL, "\"%s\" is no number from 0 to %g", value, f->max);
	*ret = n;
	return 0;
}

static int apply_float(struct loader *l, const struct flag *f, const char *value, void *field)
{
	double n;
	int rc = fraction(l, f, value, &n);
	if (rc == 0)
		*(float *)field = (float)n;
	return rc;
}

static int apply_double(struct loader *l, const struct flag *f, const char *value, void *field)
{
	return fraction(l, f, value, field);
}

static int apply_count(struct loader *l, const struct flag *f, const char *value, void *field)
{
	double n;
	int rc = fraction(l, f, value, &n);
	if (rc == 0)
		*(uint64_t *)field = (uint64_t)n;
	return rc;
}

static int apply_size(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f;
	return size_parse(value, field)
		       ? loader_fail(l, NULL, "\"%s\" is no size, as in 512M or 2G", value)
		       : 0;
}

static int apply_time(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f;
	return seconds_parse(value, field)
		       ? loader_fail(l, NULL, "\"%s\" is no time, as in 90s, 30m or 2h", value)
		       : 0;
}

static int apply_word(struct loader *l, const struct flag *f, const char *value, void *field)
{
	unsigned index;
	int rc = word_parse(l, NULL, f->words, value, &index);
	if (rc == 0)
		memcpy(field, &index, sizeof(index));
	return rc;
}

static int apply_net(struct loader *l, const struct flag *f, const char *value, void *field)
{
	int rc = apply_word(l, f, value, field);
	if (rc == 0 && l->p->net == NET_ALLOWLIST)
		l->p->allow_hosts.present = true;
	return rc;
}

static int apply_paths(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f;
	return list_append(l, field, LIST_PATHS, value, NULL, NULL);
}

static int apply_hosts(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f;
	return list_append(l, field, LIST_HOSTS, value, NULL, NULL);
}

static int apply_host_port(struct loader *l, const struct flag *f, const char *value, void *field)
{
	uint64_t n;
	(void)f, (void)field;
	if (strspn(value, "0123456789") != strlen(value) || seconds_parse(value, &n) || n < 1 ||
	    n > 65535)
		return loader_fail(l, NULL, "\"%s\" is no port from 1 to 65535", value);
	return port_append(l, &l->p->host_ports, &l->p->host_port_count, (uint16_t)n);
}

static int apply_publish(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f, (void)field;
	return publish_append(l, NULL, value);
}

/*
 * The agent's own program may run, and read itself and what an interpreter in
 * PREFIX/bin loads from PREFIX/lib: a pyenv or nvm under a home that is closed.
 */
static int apply_program(struct loader *l, const struct flag *f, const char *value, void *field)
{
	(void)f, (void)field;
	static const char *const trees[] = { "/lib/**", "/lib64/**", "/libexec/**" };
	struct policy *p = l->p;
	size_t len = strlen(value), used = 0;
	char *path = arena_alloc(&l->store->arena, 2 * len + sizeof("/libexec/**"));
	if (!path)
		return loader_no_memory(l);
	for (; *value; value++) { /* a path, not a pattern */
		if (strchr("*?[\\", *value))
			path[used++] = '\\';
		path[used++] = *value;
	}
	int rc = list_append(l, &p->spawn_allowed, LIST_PATHS, path, "agent", NULL);
	bool limited = p->allowed.present || p->allowed_read.present;
	if (rc || !limited)
		return rc;
	rc = list_append(l, &p->allowed_read, LIST_PATHS, path, "agent", NULL);
	char *slash = strrchr(path, '/');
	if (rc || !slash || slash - path < 5 || strncmp(slash - 4, "/bin", 4) != 0)
		return rc;
	slash[-4] = '\0'; /* PREFIX; the lists have copies of what stood here */
	used = strlen(path);
	for (size_t i = 0; rc == 0 && i < sizeof(trees) / sizeof(trees[0]); i++) {
		strcpy(path + used, trees[i]);
		rc = list_append(l, &p->allowed_read, LIST_PATHS, path, "agent", NULL);
		if (rc == 0)
			rc = list_append(l, &p->ambient, LIST_PATHS, path, "agent", NULL);
	}
	return rc;
}

/* clang-format off */
#define FIELD(f) offsetof(struct policy, f)
static const struct flag flags[] = {
	[POLICY_FLAG_ALLOW]         = { "--allow",       apply_allow },
	[POLICY_FLAG_BLOCK]         = { "--block",       apply_paths,  FIELD(blocked) },
	[POLICY_FLAG_ALLOW_HOSTS]   = { "--allow-hosts", apply_hosts,  FIELD(allow_hosts) },
	[POLICY_FLAG_BLOCK_HOSTS]   = { "--block-hosts", apply_hosts,  FIELD(block_hosts) },
	[POLICY_FLAG_MAX_RISK]      = { "--max-risk",    apply_float,  FIELD(max_risk), .max = 1 },
	[POLICY_FLAG_MODE]          = { "--mode",        apply_word,   FIELD(mode), .words = &mode_words },
	[POLICY_FLAG_NET]           = { "--net",         apply_net,    FIELD(net), .words = &net_words },
	[POLICY_FLAG_ON_EXIT]       = { "--on-exit",     apply_word,   FIELD(on_exit), .words = &on_exit_words },
	[POLICY_FLAG_WORKSPACE]     = { "--workspace",   apply_word,   FIELD(workspace), .words = &workspace_words },
	[POLICY_FLAG_MEM]           = { "--mem",         apply_size,   FIELD(limits.memory_bytes) },
	[POLICY_FLAG_CPU]           = { "--cpu",         apply_double, FIELD(limits.cpus), .max = 4096 },
	[POLICY_FLAG_PIDS]          = { "--pids",        apply_count,  FIELD(limits.pids), .max = 4194304 },
	[POLICY_FLAG_TIMEOUT]       = { "--timeout",     apply_time,   FIELD(limits.wall_seconds) },
	[POLICY_FLAG_SPAWN_ALLOWED] = { "program",       apply_program },
	[POLICY_FLAG_HOST_PORT]     = { "--host-port",   apply_host_port },
	[POLICY_FLAG_PUBLISH]       = { "--publish",     apply_publish },
	[POLICY_FLAG_ALLOW_UNIX]    = { "--allow-unix",  apply_paths,  FIELD(allow_unix) },
	[POLICY_FLAG_DIRECT]        = { "--direct",      apply_paths,  FIELD(direct) },
};
#undef FIELD
/* clang-format on */
_Static_assert(sizeof(flags) / sizeof(flags[0]) == POLICY_FLAG_COUNT, "a row each");

int policy_apply_flag(struct policy *p, enum policy_flag flag, const char *value, struct err *err)
{
	struct err why = { "" };
	struct loader l = { .p = p, .store = p->arena, .file = "command line", .err = &why };
	if ((unsigned)flag >= POLICY_FLAG_COUNT)
		return err_set(err, EINVAL, "no such flag");
	const struct flag *f = &flags[flag];
	int rc = f->apply(&l, f, value, (char *)p + f->offset);
	if (index_build_all(&l.store->arena, p) && rc == 0)
		rc = loader_no_memory(&l);
	if (rc) { /* a person knows the flag, not where its value was put */
		const char *text =
			strncmp(why.text, "command line: ", 14) ? why.text : why.text + 14;
		err_set(err, -rc, "%s: %s", f->name, text);
	}
	return rc;
}
