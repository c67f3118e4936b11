/* snapshot: the words after the verb, each a function in one table. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/scope.h"
#include "launcher/archive.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/snapshot_diff.h"
#include "launcher/snapshots.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "rootfs/remove.h"

enum {
	SNAPSHOT_NAME,
	SNAPSHOT_JSON,
	SNAPSHOT_KEEP,
	SNAPSHOT_OLDER_THAN,
	SNAPSHOT_MAX_BYTES,
	SNAPSHOT_DRY_RUN,
};
const struct option_spec snapshot_options[] = {
	[SNAPSHOT_NAME] = { "name", 0, "NAME", "create: what to call it (default: SESSION.N)" },
	[SNAPSHOT_JSON] = { "json", 0, NULL, "list, diff, verify: as JSON" },
	[SNAPSHOT_KEEP] = { "keep", 0, "N", "prune: all but the newest N" },
	[SNAPSHOT_OLDER_THAN] = { "older-than", 0, "D",
				  "prune: those older than 12h, 30d, 8w (or seconds)" },
	[SNAPSHOT_MAX_BYTES] = { "max-bytes", 0, "SIZE",
				 "prune: the oldest, until the rest is no larger" },
	[SNAPSHOT_DRY_RUN] = { "dry-run", 0, NULL, "prune: say which, remove none" },
	{ NULL },
};

static int create(const struct options *o, const char *id, struct err *err)
{
	struct session s;
	char name[SNAPSHOT_NAME_SIZE];
	int rc = session_find(id, &s, err);
	if (rc < 0)
		return rc;
	int (*take)(const struct session *, const char *, const char *, char *, struct err *) =
		s.state == SESSION_RUNNING ? snapshots_take_running : snapshots_take;
	rc = take(&s, options_value(o, SNAPSHOT_NAME), "request", name, err);
	if (rc == 0)
		printf("%s\n", name);
	else if (rc == 1)
		log_info("session %s holds no changes; no snapshot was taken", s.id);
	session_close(&s);
	return rc < 0 ? rc : 0;
}

static void print_row_json(const struct snapshot_row *r, bool first)
{
	fputs(first ? "{" : ",{", stdout);
	json_member(stdout, true, "name", r->name);
	json_member(stdout, false, "session", r->session);
	json_member(stdout, false, "created", r->created);
	json_member(stdout, false, "reason", r->reason);
	json_member(stdout, false, "policy", r->policy);
	json_member(stdout, false, "log", r->log[0] ? r->log : NULL);
	printf(",\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"stored\":%" PRIu64, r->entries,
	       r->bytes, r->stored);
	if (r->damage[0])
		json_member(stdout, false, "damage", r->damage);
	fputs("}", stdout);
}

static void print_row(const struct snapshot_row *r)
{
	if (r->damage[0]) {
		printf("%-24s  damaged: ", r->name);
		term_text(stdout, r->damage);
		putchar('\n');
		return;
	}
	printf("%-24s  %-20.20s  %-8.8s  %8" PRIu64 " entries  %10" PRIu64 " bytes stored\n",
	       r->name, r->created, r->reason, r->entries, r->stored);
}

static int list(const struct options *o, const char *name, struct err *err)
{
	struct snapshot_row *rows = NULL;
	(void)name;
	cleanup_fd int dirfd = snapshots_open(err);
	int count = dirfd < 0 ? dirfd : snapshots_list(dirfd, &rows, err);
	if (count < 0)
		return count;
	bool json = options_has(o, SNAPSHOT_JSON);
	if (json)
		fputs("{\"schema_version\":1,\"snapshots\":[", stdout);
	for (int i = 0; i < count; i++) {
		if (json)
			print_row_json(&rows[i], i == 0);
		else
			print_row(&rows[i]);
	}
	if (json)
		puts("]}");
	free(rows);
	return 0;
}

/* Is the log that the snapshot names there, whole, and does it go through that hash? */
static int verify_log(const struct snapshot_row *row, const char **ret, struct err *err)
{
	char path[STATE_PATH_SIZE];
	uint64_t events;
	*ret = "the session is gone, its log with it";
	cleanup_fd int state = state_open(path, err);
	cleanup_fd int sessions = state < 0 ? state : state_subdir(state, "sessions", err);
	if (sessions < 0)
		return sessions;
	if (!row->session[0] || strchr(row->session, '/') || !row->log[0])
		return 0;
	cleanup_fd int dirfd =
		openat(sessions, row->session, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "session %s", row->session);
	int rc = eventlog_verify(dirfd, &events, err);
	if (rc == 0)
		rc = eventlog_holds(dirfd, row->log + strlen("sha256:"), err);
	if (rc == 0)
		return err_set(err, EBADMSG,
			       "the log of session %s does not go through the event that snapshot "
			       "%s was taken at",
			       row->session, row->name);
	*ret = "chained to the session's log";
	return rc < 0 ? rc : 0;
}

static int verify(const struct options *o, const char *name, struct err *err)
{
	struct snapshot_row row;
	struct json_object *result = NULL;
	const char *log = "";
	cleanup_fd int dirfd = snapshots_open(err);
	int rc = dirfd < 0 ? dirfd : snapshots_find(dirfd, name, &row, err);
	if (rc < 0)
		return rc;
	const char *args[] = { "verify", row.name, NULL };
	const struct archive_job job = { .args = args, .fds = { dirfd, dirfd, -1 } };
	rc = archive_run(&job, &result, err);
	json_object_put(result);
	if (rc == 0)
		rc = verify_log(&row, &log, err);
	if (rc < 0)
		return rc;
	if (options_has(o, SNAPSHOT_JSON)) {
		fputs("{\"schema_version\":1,\"ok\":true,\"snapshot\":", stdout);
		print_row_json(&row, true);
		json_member(stdout, false, "log_state", log);
		puts("}");
	} else {
		printf("snapshot %s: digests are right, %s\n", row.name, log);
	}
	return 0;
}

/* session.json of the one that was, for the one that is made: other id, no processes. */
static int write_start(const struct session *s, const struct snapshot_row *row,
		       struct json_object *result, struct err *err)
{
	struct json_object *text;
	struct json_object *start = NULL;
	if (json_object_object_get_ex(result, "start", &text))
		start = json_tokener_parse(json_object_get_string(text));
	if (!json_object_is_type(start, json_type_object)) {
		json_object_put(start);
		return err_set(err, EBADMSG, "snapshot %s does not say what was run", row->name);
	}
	static const char *const gone[] = { "gateway", "monitor", "agent_process" };
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		json_object_object_del(start, gone[i]);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(start, "id", json_object_new_string(s->id));
	json_object_object_add(start, "restored_from", json_object_new_string(row->name));
	json_object_object_add(start, "restored_session", json_object_new_string(row->session));
	json_object_object_add(
		start, "started_ns",
		json_object_new_int64((int64_t)now.tv_sec * 1000000000 + now.tv_nsec));
	size_t len;
	const char *out =
		json_object_to_json_string_length(start, JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	int rc = state_write_file(s->dirfd, "session.json", out, len, err);
	json_object_put(start);
	return rc;
}

/* A log of two events: where it came from, and that it is over. */
static int write_log(const struct session *s, const struct snapshot_row *row, struct err *err)
{
	struct eventlog_reader *log = NULL;
	char text[128];
	snprintf(text, sizeof(text), "restored from snapshot %s", row->name);
	int rc = eventlog_create(s->dirfd, err);
	if (rc == 0)
		rc = eventlog_reader_open(s->dirfd, s->id, &log, err);
	static const enum event_kind kinds[] = { EVENT_SESSION_START, EVENT_SESSION_END };
	for (size_t i = 0; rc == 0 && i < 2; i++) {
		struct event e = {
			.kind = kinds[i],
			.text = text,
			.action = { .resource = "", .program = "", .size_bytes = -1 },
		};
		event_stamp(&e);
		rc = eventlog_append(log, &e);
		if (rc < 0)
			err_sys(err, -rc, "cannot write the log");
	}
	eventlog_reader_close(log);
	return rc;
}

/* The end comes last: until then the new session counts as crashed, with no layers to show. */
static int fill_session(const struct session *s, const struct snapshot_row *row, int snapshots,
			struct err *err)
{
	struct json_object *result = NULL;
	const char *args[] = { "restore", row->name, NULL };
	const struct archive_job job = { .args = args,
					 .fds = { s->dirfd, snapshots, -1 },
					 .doing = "restore" };
	static const char end[] = "{\"schema_version\":1,\"exit_code\":0,\"status\":0,"
				  "\"reason\":\"restored\"}\n";
	int rc = archive_run(&job, &result, err);
	if (rc == 0)
		rc = write_start(s, row, result, err);
	json_object_put(result);
	if (rc == 0)
		rc = write_log(s, row, err);
	if (rc == 0)
		rc = state_write_file(s->dirfd, "end.json", end, sizeof(end) - 1, err);
	return rc;
}

static int restore(const struct options *o, const char *name, struct err *err)
{
	struct snapshot_row row;
	struct session s = { .dirfd = -1 };
	char path[STATE_PATH_SIZE];
	int lock = -1;
	(void)o;
	cleanup_fd int dirfd = snapshots_open(err);
	int rc = dirfd < 0 ? dirfd : snapshots_find(dirfd, name, &row, err);
	cleanup_fd int state = rc < 0 ? -1 : state_open(path, err);
	if (rc == 0)
		rc = state < 0 ? state : session_create(state, path, &s, &lock, err);
	if (rc < 0)
		return rc;
	rc = fill_session(&s, &row, dirfd, err);
	if (rc < 0) {
		cleanup_fd int sessions = state_subdir(state, "sessions", NULL);
		remove_tree(sessions, s.id);
	} else {
		printf("%s\n", s.id);
		log_info("snapshot %s is session %s now; next: vsandbox diff %s", row.name, s.id,
			 s.id);
	}
	session_close(&s);
	scope_close(&lock);
	return rc;
}

static int parse_age(const char *text, int64_t *ret, struct err *err)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = { { "", 1 },     { "s", 1 },     { "m", 60 },
		      { "h", 3600 }, { "d", 86400 }, { "w", 604800 } };
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	for (size_t i = 0; !errno && end != text && n >= 0 && n < 1000000000 &&
			   i < sizeof(units) / sizeof(units[0]);
	     i++) {
		if (strcmp(end, units[i].unit) == 0) {
			*ret = n * units[i].seconds;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--older-than '%.40s': 12h, 30d, 8w, or seconds", text);
}

static int parse_count(const char *flag, const char *text, uint64_t *ret, struct err *err)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	static const char suffixes[] = "KMGT";
	const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
	if (errno || end == text || *text == '-' || (*end && (!suffix || end[1])) ||
	    n > UINT64_MAX >> shift)
		return err_set(err, EINVAL, "--%s '%.40s' is no number", flag, text);
	*ret = n << shift;
	return 0;
}

struct prune {
	uint64_t keep, max_bytes;
	int64_t older_than;
};

static int parse_prune(const struct options *o, struct prune *ret, struct err *err)
{
	const char *keep = options_value(o, SNAPSHOT_KEEP);
	const char *age = options_value(o, SNAPSHOT_OLDER_THAN);
	const char *bytes = options_value(o, SNAPSHOT_MAX_BYTES);
	*ret = (struct prune){ UINT64_MAX, UINT64_MAX, INT64_MAX };
	if (!keep && !age && !bytes)
		return err_set(err, EINVAL,
			       "prune wants to know which: --keep N, --older-than D or --max-bytes "
			       "SIZE");
	int rc = keep ? parse_count("keep", keep, &ret->keep, err) : 0;
	if (rc == 0 && age)
		rc = parse_age(age, &ret->older_than, err);
	if (rc == 0 && bytes)
		rc = parse_count("max-bytes", bytes, &ret->max_bytes, err);
	return rc;
}

/* One that any of the limits excludes goes; rows come newest first. */
static int prune(const struct options *o, const char *name, struct err *err)
{
	struct prune p;
	struct snapshot_row *rows = NULL;
	(void)name;
	int rc = parse_prune(o, &p, err);
	cleanup_fd int dirfd = rc < 0 ? -1 : snapshots_open(err);
	if (rc == 0)
		rc = dirfd < 0 ? dirfd : 0;
	int count = rc < 0 ? rc : snapshots_list(dirfd, &rows, err);
	uint64_t kept = 0, bytes = 0;
	time_t now = time(NULL);
	rc = count < 0 ? count : 0;
	for (int i = 0; rc == 0 && i < count; i++) {
		bool old = rows[i].created_s && now - rows[i].created_s > p.older_than;
		if (!old && kept < p.keep && rows[i].stored <= p.max_bytes - bytes) {
			kept++;
			bytes += rows[i].stored;
			continue;
		}
		/* what is older than the first that has no room has none either */
		p.max_bytes = old || kept >= p.keep ? p.max_bytes : bytes;
		printf("%s\n", rows[i].name);
		if (!options_has(o, SNAPSHOT_DRY_RUN))
			rc = snapshots_remove(dirfd, rows[i].name, err);
	}
	free(rows);
	return rc;
}

static int diff(const struct options *o, const char *name, struct err *err)
{
	cleanup_fd int dirfd = snapshots_open(err);
	struct snapshot_row a, b;
	const char *other = o->args[1];
	int rc = dirfd < 0 ? dirfd : snapshots_find(dirfd, name, &a, err);
	if (rc == 0 && other)
		rc = snapshots_find(dirfd, other, &b, err);
	if (rc < 0)
		return rc;
	return snapshot_diff(dirfd, a.name, other ? b.name : NULL, options_has(o, SNAPSHOT_JSON),
			     err);
}

static const struct word {
	const char *name;
	int least, most; /* operands after it */
	int (*run)(const struct options *o, const char *name, struct err *err);
	const char *usage;
} words[] = {
	{ "create", 0, 1, create, "create [--name NAME] [SESSION]" },
	{ "list", 0, 0, list, "list [--json]" },
	{ "diff", 1, 2, diff, "diff [--json] SNAPSHOT [SNAPSHOT]" },
	{ "restore", 1, 1, restore, "restore SNAPSHOT" },
	{ "verify", 1, 1, verify, "verify [--json] SNAPSHOT" },
	{ "prune", 0, 0, prune, "prune [--keep N] [--older-than D] [--max-bytes SIZE]" },
};

static int carry_out(const struct word *w, const struct options *o)
{
	struct err err = { "" };
	if (o->arg_count < w->least || o->arg_count > w->most) {
		log_error("usage: vsandbox snapshot %s", w->usage);
		return EXIT_USAGE;
	}
	int rc = w->run(o, o->args[0], &err);
	if (rc < 0) {
		log_error("%s", err.text);
		return rc == -EBADMSG ? 1 : EXIT_USAGE;
	}
	return out_finish();
}

int cmd_snapshot(const struct options *o)
{
	static struct options after;
	struct err err = { "" };
	for (size_t i = 0; o->arg_count && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(o->args[0], words[i].name) != 0)
			continue;
		int rc = options_parse_after_word(o, &after, &err);
		if (rc == 0)
			return carry_out(&words[i], &after);
		if (rc < 0) {
			log_error("snapshot: %s (vsandbox help snapshot)", err.text);
			return EXIT_USAGE;
		}
		help_print(verb_find("snapshot"));
		return 0;
	}
	log_error("usage: vsandbox snapshot create|list|diff|restore|verify|prune (vsandbox help "
		  "snapshot)");
	return EXIT_USAGE;
}
