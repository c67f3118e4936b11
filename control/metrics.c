#include "control/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/scope.h"
#include "control/call.h"

enum { ROUTES_MAX = 128, BUCKETS = 10 };

/* One answer of HTTP each; what is not here is counted as the last. */
static const int codes[] = { 200, 202, 400, 401, 403, 404, 405, 409, 413, 422, 429, 503, 0 };
enum { KNOWN_CODES = sizeof(codes) / sizeof(codes[0]) };

static const int64_t bounds_us[BUCKETS] = { 500,   1000,   2500,   5000,    10000,
					    25000, 100000, 500000, 2500000, 10000000 };

struct counts {
	_Atomic uint64_t by_code[KNOWN_CODES], by_time[BUCKETS + 1], us;
};

struct metrics {
	int64_t started_s;
	struct counts routes[ROUTES_MAX + 1]; /* the last: paths that are none */
	_Atomic uint64_t others[METRIC_COUNT];
};

static const struct {
	const char *name, *label, *help; /* help NULL: of the same name as the one before */
} names[METRIC_COUNT] = {
	[METRIC_ACTIONS_ALLOW] = { "vsandbox_actions_total", "decision=\"ALLOW\"",
				   "Actions logged, by what was decided" },
	[METRIC_ACTIONS_ALERT] = { "vsandbox_actions_total", "decision=\"ALERT\"", NULL },
	[METRIC_ACTIONS_PAUSE] = { "vsandbox_actions_total", "decision=\"PAUSE\"", NULL },
	[METRIC_ACTIONS_ROLLBACK] = { "vsandbox_actions_total", "decision=\"ROLLBACK\"", NULL },
	[METRIC_ACTIONS_BLOCK] = { "vsandbox_actions_total", "decision=\"BLOCK\"", NULL },
	[METRIC_ACTIONS_REPEATED] = { "vsandbox_actions_repeated_total", "",
				      "Actions posted again under an id that was logged" },
	[METRIC_MASKED] = { "vsandbox_masked_total", "",
			    "Secrets and personal data masked before storage" },
	[METRIC_WEBHOOK_DELIVERED] = { "vsandbox_webhook_total", "result=\"delivered\"",
				       "Alerts sent to the webhook" },
	[METRIC_WEBHOOK_FAILED] = { "vsandbox_webhook_total", "result=\"failed\"", NULL },
	[METRIC_WEBHOOK_DROPPED] = { "vsandbox_webhook_total", "result=\"dropped\"", NULL },
	[METRIC_SYSLOG_DELIVERED] = { "vsandbox_syslog_total", "result=\"delivered\"",
				      "Alerts sent to the syslog receiver" },
	[METRIC_SYSLOG_FAILED] = { "vsandbox_syslog_total", "result=\"failed\"", NULL },
	[METRIC_SYSLOG_DROPPED] = { "vsandbox_syslog_total", "result=\"dropped\"", NULL },
	[METRIC_REMOVED_ACTIONS] = { "vsandbox_removed_total", "table=\"actions\"",
				     "Rows removed for their age; a day of actions in PostgreSQL "
				     "is one" },
	[METRIC_REMOVED_KEYS] = { "vsandbox_removed_total", "table=\"action_keys\"", NULL },
	[METRIC_REMOVED_ALERTS] = { "vsandbox_removed_total", "table=\"alerts\"", NULL },
	[METRIC_REMOVED_APPROVALS] = { "vsandbox_removed_total", "table=\"approvals\"", NULL },
	[METRIC_REMOVED_COMMANDS] = { "vsandbox_removed_total", "table=\"commands\"", NULL },
	[METRIC_REMOVED_ROLLBACKS] = { "vsandbox_removed_total", "table=\"rollbacks\"", NULL },
	[METRIC_REMOVED_SESSIONS] = { "vsandbox_removed_total", "table=\"sessions\"", NULL },
	[METRIC_REMOVED_DAILY] = { "vsandbox_removed_total", "table=\"daily\"", NULL },
	[METRIC_REMOVED_LOGINS] = { "vsandbox_removed_total", "table=\"logins\"", NULL },
	[METRIC_REMOVED_FEED] = { "vsandbox_removed_total", "table=\"feed\"", NULL },
};

struct metrics *metrics_new(void)
{
	struct metrics *m = calloc(1, sizeof(*m));
	if (m)
		m->started_s = time(NULL);
	return m;
}

void metrics_free(struct metrics *m)
{
	free(m);
}

void metrics_add(struct metrics *m, enum metric which, uint64_t n)
{
	atomic_fetch_add_explicit(&m->others[which], n, memory_order_relaxed);
}

void metrics_request(struct metrics *m, int route, int status, int64_t us)
{
	struct counts *c = &m->routes[route < 0 || route >= ROUTES_MAX ? ROUTES_MAX : route];
	unsigned code = 0, bucket = 0;
	while (codes[code] && codes[code] != status)
		code++;
	while (bucket < BUCKETS && bounds_us[bucket] < us)
		bucket++;
	atomic_fetch_add_explicit(&c->by_code[code], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->by_time[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->us, us > 0 ? (uint64_t)us : 0, memory_order_relaxed);
}

/* ---- the text --------------------------------------------------------------------------------- */

static void put_head(FILE *f, const char *name, const char *kind, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static uint64_t get(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static const char *method_of(unsigned i)
{
	return i == ROUTES_MAX ? "" : routes[i].method;
}

static const char *path_of(unsigned i)
{
	return i == ROUTES_MAX ? "" : routes[i].path;
}

static uint64_t total_of(const struct counts *c)
{
	uint64_t total = 0;
	for (unsigned b = 0; b <= BUCKETS; b++)
		total += get(&c->by_time[b]);
	return total;
}

static void put_requests(FILE *f, const struct metrics *m)
{
	put_head(f, "vsandbox_http_requests_total", "counter", "Requests answered");
	for (unsigned i = 0; i <= ROUTES_MAX; i++)
		for (unsigned c = 0; c < KNOWN_CODES; c++)
			if (get(&m->routes[i].by_code[c]))
				fprintf(f,
					"vsandbox_http_requests_total{method=\"%s\",path=\"%s\","
					"code=\"%d\"} %" PRIu64 "\n",
					method_of(i), path_of(i), codes[c],
					get(&m->routes[i].by_code[c]));
}

static void put_durations(FILE *f, const struct metrics *m)
{
	static const char name[] = "vsandbox_http_request_duration_seconds";
	put_head(f, name, "histogram", "From the whole request to its answer");
	for (unsigned i = 0; i <= ROUTES_MAX; i++) {
		const struct counts *c = &m->routes[i];
		uint64_t sum = 0;
		if (!total_of(c))
			continue;
		for (unsigned b = 0; b <= BUCKETS; b++) {
			char bound[32] = "+Inf";
			if (b < BUCKETS)
				snprintf(bound, sizeof(bound), "%g", (double)bounds_us[b] / 1e6);
			sum += get(&c->by_time[b]);
			fprintf(f, "%s_bucket{method=\"%s\",path=\"%s\",le=\"%s\"} %" PRIu64 "\n",
				name, method_of(i), path_of(i), bound, sum);
		}
		fprintf(f, "%s_sum{method=\"%s\",path=\"%s\"} %.6f\n", name, method_of(i),
			path_of(i), (double)get(&c->us) / 1e6);
		fprintf(f, "%s_count{method=\"%s\",path=\"%s\"} %" PRIu64 "\n", name, method_of(i),
			path_of(i), sum);
	}
}

static void put_others(FILE *f, const struct metrics *m)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		if (names[i].help)
			put_head(f, names[i].name, "counter", names[i].help);
		fprintf(f, *names[i].label ? "%s{%s} %" PRIu64 "\n" : "%s%s %" PRIu64 "\n",
			names[i].name, names[i].label, get(&m->others[i]));
	}
}

static void put_process(FILE *f, const struct metrics *m)
{
	struct rusage u = { 0 };
	getrusage(RUSAGE_SELF, &u);
	double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		     (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	put_head(f, "process_cpu_seconds_total", "counter", "Processor time used");
	fprintf(f, "process_cpu_seconds_total %.3f\n", cpu);
	put_head(f, "process_start_time_seconds", "gauge", "Start, in seconds since 1970");
	fprintf(f, "process_start_time_seconds %" PRId64 "\n", m->started_s);
	put_head(f, "vsandbox_build_info", "gauge", "The version, as a label");
	fprintf(f, "vsandbox_build_info{version=\"%s\"} 1\n", VSANDBOX_VERSION);
}

static int put_gauge(const struct db_row *row, void *arg)
{
	fprintf(arg, *db_text(row, 1) ? "%s{state=\"%s\"} %" PRId64 "\n" : "%s%s %" PRId64 "\n",
		db_text(row, 0), db_text(row, 1), db_int(row, 2));
	return 0;
}

static int64_t run_gauges(struct db *db, void *arg, struct err *err)
{
	FILE *f = arg;
	put_head(f, "vsandbox_agents", "gauge", "Agents known");
	int64_t n = db_query(db, "SELECT 'vsandbox_agents', '', count(*) FROM agents", NULL, 0,
			     put_gauge, f, err);
	put_head(f, "vsandbox_alerts_open", "gauge", "Alerts that nobody acknowledged");
	if (n >= 0)
		n = db_query(db,
			     "SELECT 'vsandbox_alerts_open', '', count(*) FROM alerts WHERE "
			     "acknowledged = 0",
			     NULL, 0, put_gauge, f, err);
	put_head(f, "vsandbox_approvals_pending", "gauge", "Questions that wait for a person");
	if (n >= 0)
		n = db_query(db,
			     "SELECT 'vsandbox_approvals_pending', '', count(*) FROM approvals "
			     "WHERE state = 'pending'",
			     NULL, 0, put_gauge, f, err);
	put_head(f, "vsandbox_sessions", "gauge", "Sandboxes by state");
	if (n >= 0)
		n = db_query(db,
			     "SELECT 'vsandbox_sessions', state, count(*) FROM sessions"
			     " GROUP BY state ORDER BY state",
			     NULL, 0, put_gauge, f, err);
	return n;
}

/* Gauges are gathered apart: a store that fails half way must not leave half of them. */
static void put_store(FILE *f, struct store *store)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *gauges = open_memstream(&text, &size);
	struct err err;
	bool up = gauges && store_read(store, run_gauges, gauges, &err) >= 0;
	if (gauges && fclose(gauges) != 0)
		up = false;
	put_head(f, "vsandbox_store_up", "gauge", "Whether the store answers");
	fprintf(f, "vsandbox_store_up %d\n", up);
	if (up)
		fputs(text, f);
}

char *metrics_text(struct metrics *m, struct store *store)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	put_requests(f, m);
	put_durations(f, m);
	put_others(f, m);
	put_process(f, m);
	put_store(f, store);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
