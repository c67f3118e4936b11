#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policies/policy_index.h"
#include "policies/policy_loader.h"

static const char *const flag_names[] = {
	[POLICY_FLAG_ALLOW] = "--allow",
	[POLICY_FLAG_BLOCK] = "--block",
	[POLICY_FLAG_ALLOW_HOSTS] = "--allow-hosts",
	[POLICY_FLAG_BLOCK_HOSTS] = "--block-hosts",
	[POLICY_FLAG_MAX_RISK] = "--max-risk",
	[POLICY_FLAG_MODE] = "--mode",
	[POLICY_FLAG_NET] = "--net",
	[POLICY_FLAG_ON_EXIT] = "--on-exit",
	[POLICY_FLAG_WORKSPACE] = "--workspace",
	[POLICY_FLAG_MEM] = "--mem",
	[POLICY_FLAG_CPU] = "--cpu",
	[POLICY_FLAG_PIDS] = "--pids",
	[POLICY_FLAG_TIMEOUT] = "--timeout",
	[POLICY_FLAG_SPAWN_ALLOWED] = "program",
	[POLICY_FLAG_HOST_PORT] = "--host-port",
	[POLICY_FLAG_PUBLISH] = "--publish",
	[POLICY_FLAG_ALLOW_UNIX] = "--allow-unix",
	[POLICY_FLAG_DIRECT] = "--direct",
};
_Static_assert(sizeof(flag_names) / sizeof(flag_names[0]) == POLICY_FLAG_COUNT, "a name each");

/* What a program cannot even start without writing to; no data is kept there. */
static const char *const devices[] = { "/dev/null", "/dev/zero",   "/dev/full", "/dev/tty",
				       "/dev/ptmx", "/dev/pts/**", "/dev/std*", "/dev/fd/**" };

/*
 * The first --allow on a policy that has no allow list narrows it from all to
 * PATTERN. The program must still load: what the policy calls ambient stays
 * readable.
 */
static int allow(struct loader *l, const char *value)
{
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

static int fraction(const struct loader *l, const char *value, double max, double *ret)
{
	char *end;
	double n = strtod(value, &end);
	if (end == value || *end || !isfinite(n) || n < 0 || n > max)
		return loader_fail(l, NULL, "\"%s\" is no number from 0 to %g", value, max);
	*ret = n;
	return 0;
}

static int port(const struct loader *l, const char *value, uint16_t **ports, unsigned *count)
{
	uint64_t n;
	if (strspn(value, "0123456789") != strlen(value) || seconds_parse(value, &n) || n < 1 ||
	    n > 65535)
		return loader_fail(l, NULL, "\"%s\" is no port from 1 to 65535", value);
	return port_append(l, ports, count, (uint16_t)n);
}

/*
 * The agent's own program may run, and read itself and what an interpreter in
 * PREFIX/bin loads from PREFIX/lib: a pyenv or nvm under a home that is closed.
 */
static int program(const struct loader *l, const char *value)
{
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

static int word(const struct loader *l, const struct words *words, const char *value, void *field)
{
	unsigned index;
	int rc = word_parse(l, NULL, words, value, &index);
	if (rc == 0)
		memcpy(field, &index, sizeof(index));
	return rc;
}

int policy_apply_flag(struct policy *p, enum policy_flag flag, const char *value, struct err *err)
{
	struct loader l = { .p = p, .store = p->arena, .file = "command line", .err = err };
	struct err why = { "" };
	double n = 0;
	int rc = 0;
	l.err = &why;
	switch (flag) {
	case POLICY_FLAG_ALLOW:
		rc = allow(&l, value);
		break;
	case POLICY_FLAG_BLOCK:
		rc = list_append(&l, &p->blocked, LIST_PATHS, value, NULL, NULL);
		break;
	case POLICY_FLAG_ALLOW_HOSTS:
		rc = list_append(&l, &p->allow_hosts, LIST_HOSTS, value, NULL, NULL);
		break;
	case POLICY_FLAG_BLOCK_HOSTS:
		rc = list_append(&l, &p->block_hosts, LIST_HOSTS, value, NULL, NULL);
		break;
	case POLICY_FLAG_MAX_RISK:
		rc = fraction(&l, value, 1, &n);
		if (rc == 0)
			p->max_risk = (float)n;
		break;
	case POLICY_FLAG_MODE:
		rc = word(&l, &mode_words, value, &p->mode);
		break;
	case POLICY_FLAG_NET:
		rc = word(&l, &net_words, value, &p->net);
		if (rc == 0 && p->net == NET_ALLOWLIST)
			p->allow_hosts.present = true;
		break;
	case POLICY_FLAG_ON_EXIT:
		rc = word(&l, &on_exit_words, value, &p->on_exit);
		break;
	case POLICY_FLAG_WORKSPACE:
		rc = word(&l, &workspace_words, value, &p->workspace);
		break;
	case POLICY_FLAG_MEM:
		if (size_parse(value, &p->limits.memory_bytes))
			rc = loader_fail(&l, NULL, "\"%s\" is no size, as in 512M or 2G", value);
		break;
	case POLICY_FLAG_CPU:
		rc = fraction(&l, value, 4096, &p->limits.cpus);
		break;
	case POLICY_FLAG_PIDS:
		rc = fraction(&l, value, 4194304, &n);
		if (rc == 0)
			p->limits.pids = (uint64_t)n;
		break;
	case POLICY_FLAG_TIMEOUT:
		if (seconds_parse(value, &p->limits.wall_seconds))
			rc = loader_fail(&l, NULL, "\"%s\" is no time, as in 90s, 30m or 2h",
					 value);
		break;
	case POLICY_FLAG_SPAWN_ALLOWED:
		rc = program(&l, value);
		break;
	case POLICY_FLAG_HOST_PORT:
		rc = port(&l, value, &p->host_ports, &p->host_port_count);
		break;
	case POLICY_FLAG_PUBLISH:
		rc = publish_append(&l, NULL, value);
		break;
	case POLICY_FLAG_ALLOW_UNIX:
		rc = list_append(&l, &p->allow_unix, LIST_PATHS, value, NULL, NULL);
		break;
	case POLICY_FLAG_DIRECT:
		rc = list_append(&l, &p->direct, LIST_PATHS, value, NULL, NULL);
		break;
	case POLICY_FLAG_COUNT:
		rc = loader_fail(&l, NULL, "no such flag");
		break;
	}
	if (index_build_all(&l.store->arena, p) && rc == 0)
		rc = loader_no_memory(&l);
	if (rc) { /* a person knows the flag, not where its value was put */
		const char *text =
			strncmp(why.text, "command line: ", 14) ? why.text : why.text + 14;
		err_set(err, -rc, "%s: %s", flag < POLICY_FLAG_COUNT ? flag_names[flag] : "?",
			text);
	}
	return rc;
}
