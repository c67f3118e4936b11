/*
 * What the box carries out by itself, without asking the judge, must be narrowed here: the judge
 * holds the two policies against each other for everything else.
 */
#include <errno.h>
#include <string.h>

#include "policies/policy_index.h"
#include "policies/policy_loader.h"

/* Both lists in one; the strings of @more live as long as the policy that holds them. */
static int join(struct policy_store *store, struct policy_patterns *list,
		const struct policy_patterns *more)
{
	if (!more->count)
		return 0;
	size_t size = sizeof(*list->items);
	struct policy_pattern *items =
		arena_alloc(&store->arena, (list->count + more->count) * size);
	if (!items)
		return -ENOMEM;
	if (list->count)
		memcpy(items, list->items, list->count * size);
	memcpy(items + list->count, more->items, more->count * size);
	list->items = items;
	list->count += more->count;
	list->present = true;
	return 0;
}

/* 0 is no limit. */
static uint64_t lower(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void tighten_limits(struct policy_limits *l, const struct policy_limits *more)
{
	l->memory_bytes = lower(l->memory_bytes, more->memory_bytes);
	l->pids = lower(l->pids, more->pids);
	l->file_bytes = lower(l->file_bytes, more->file_bytes);
	l->open_files = lower(l->open_files, more->open_files);
	l->wall_seconds = lower(l->wall_seconds, more->wall_seconds);
	if (l->cpus <= 0 || (more->cpus > 0 && more->cpus < l->cpus))
		l->cpus = more->cpus;
}

/* A monitor that either wants is on, at the threshold that is reached first. */
static void tighten_monitors(struct policy_monitors *m, const struct policy_monitors *more)
{
	m->file_system |= more->file_system;
	m->network |= more->network;
	m->processes |= more->processes;
	m->database |= more->database;
	if (more->cpu && (!m->cpu || more->cpu_percent < m->cpu_percent))
		m->cpu_percent = more->cpu_percent;
	if (more->cpu && (!m->cpu || more->cpu_seconds < m->cpu_seconds))
		m->cpu_seconds = more->cpu_seconds;
	m->cpu |= more->cpu;
	if (more->memory && (!m->memory || more->memory_bytes < m->memory_bytes))
		m->memory_bytes = more->memory_bytes;
	m->memory |= more->memory;
	if (more->process_count)
		m->processes_max = m->process_count ? lower(m->processes_max, more->processes_max)
						    : more->processes_max;
	m->process_count |= more->process_count;
}

static void tighten_box(struct policy *p, const struct policy *project)
{
	static const int net_order[] = { [NET_NONE] = 2, [NET_ALLOWLIST] = 1, [NET_HOST] = 0 };
	static const int workspace_order[] = {
		[WORKSPACE_DIRECT] = 0, [WORKSPACE_OVERLAY] = 1, [WORKSPACE_READ_ONLY] = 2
	};
	/*
	 * The hosts are the judge's. From "host" to "allowlist" is a network of its own, in which @p
	 * itself still lets every host through.
	 */
	if (net_order[project->net] > net_order[p->net]) {
		if (p->net == NET_HOST)
			p->allow_hosts = (struct policy_patterns){ 0 };
		p->net = project->net;
	}
	if (workspace_order[project->workspace] > workspace_order[p->workspace])
		p->workspace = project->workspace;
	/* A project may keep its changes from being committed; whether they are dropped is not its to say. */
	if (p->on_exit == ON_EXIT_COMMIT && project->on_exit != ON_EXIT_COMMIT)
		p->on_exit = project->on_exit == ON_EXIT_ASK ? ON_EXIT_ASK : ON_EXIT_KEEP;
	if (project->rollback_limit > p->rollback_limit)
		p->rollback_limit = project->rollback_limit;
}

int policy_tighten(struct policy *p, struct policy *project, struct err *err)
{
	struct policy_store *store = p->arena;
	struct policy **last = &p->also;
	while (*last)
		last = &(*last)->also;
	*last = project;
	if (project->pause == PAUSE_TREE)
		p->pause = PAUSE_TREE;
	tighten_box(p, project);
	tighten_limits(&p->limits, &project->limits);
	tighten_monitors(&p->monitors, &project->monitors);
	int rc = join(store, &p->hide, &project->hide);
	if (rc == 0)
		rc = join(store, &p->read_only, &project->read_only);
	if (rc == 0)
		rc = index_build_all(&store->arena, p);
	return rc ? err_sys(err, ENOMEM, "policy") : 0;
}

void policy_stand_beside(struct policy *p, const struct policy *base)
{
	const uint32_t connection = UINT32_C(1) << ACTION_NETWORK_REQUEST;
	p->ambient = base->ambient;
	if (p->allowed.present && !p->allowed_read.present) {
		p->allowed_read = base->ambient;
		p->allowed_read.present = true;
	}
	if (p->allowed_types_present && !(p->allowed_types & connection) &&
	    base->net == NET_ALLOWLIST) {
		p->net = base->net;
		p->allow_hosts = base->allow_hosts;
	}
}
