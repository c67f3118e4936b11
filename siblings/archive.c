/*
 * vsandbox-archive: snapshots and images. Started by vsandbox with the descriptors it may use and
 * nothing else; it confines itself, then reads what others have written.
 *
 *   vsandbox-archive write NAME KEY=VALUE…   3 session  4 snapshots
 *   vsandbox-archive restore NAME            3 new session  4 snapshots
 *   vsandbox-archive verify NAME             4 snapshots
 *   vsandbox-archive entries NAME            4 snapshots
 *   vsandbox-archive import [TAG]            3 image  4 cache
 *
 * On stdout one word and what it means a line: "progress ENTRIES BYTES", "entry JSON",
 * "result JSON", "error ERRNO TEXT". Text is escaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "rootfs/image.h"
#include "rootfs/snapshot.h"
#include "siblings/archive_confine.h"

enum { FD_FIRST = 3, FD_SECOND = 4, ANNOTATIONS_MAX = 32, PROGRESS_MS = 100 };

static void on_progress(uint64_t entries, uint64_t bytes, void *arg)
{
	uint64_t *last_ms = arg;
	uint64_t now = clock_ms();
	if (now - *last_ms < PROGRESS_MS)
		return;
	*last_ms = now;
	printf("progress %" PRIu64 " %" PRIu64 "\n", entries, bytes);
	fflush(stdout);
}

static void put_result(struct json_object *o)
{
	printf("result %s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, value ? json_object_new_string(value) : NULL);
}

static int do_write(char **args, uint64_t *clock, struct err *err)
{
	struct snapshot_annotation notes[ANNOTATIONS_MAX];
	struct snapshot_made made;
	unsigned count = 0;
	for (char **a = args + 1; *a && count < ANNOTATIONS_MAX; a++) {
		char *equals = strchr(*a, '=');
		if (!equals)
			return err_set(err, EINVAL, "annotation without a value: %.80s", *a);
		*equals = '\0';
		notes[count++] = (struct snapshot_annotation){ *a, equals + 1 };
	}
	const struct snapshot_request req = {
		.session_dirfd = FD_FIRST,
		.snapshots_fd = FD_SECOND,
		.name = args[0],
		.annotations = notes,
		.annotation_count = count,
		.progress = on_progress,
		.arg = clock,
	};
	int rc = snapshot_write(&req, &made, err);
	if (rc < 0)
		return rc;
	struct json_object *o = json_object_new_object();
	add_text(o, "digest", made.manifest);
	add_text(o, "layer", made.layer.stored.digest);
	add_number(o, "entries", made.entries);
	add_number(o, "bytes", made.bytes);
	add_number(o, "stored", made.layer.stored.size);
	add_number(o, "sockets", made.sockets);
	put_result(o);
	return 0;
}

static int do_restore(char **args, uint64_t *clock, struct err *err)
{
	struct snapshot s;
	struct unpack_counts counts = { 0 };
	int rc = snapshot_open(FD_SECOND, args[0], &s, err);
	if (rc < 0)
		return rc;
	rc = snapshot_restore(&s, FD_FIRST, on_progress, clock, &counts, err);
	if (rc == 0) {
		struct json_object *o = json_object_new_object();
		add_text(o, "digest", s.digest);
		add_number(o, "entries", counts.entries);
		add_number(o, "bytes", counts.bytes);
		add_text(o, "start", oci_annotation(&s.manifest, SNAPSHOT_KEY "start"));
		put_result(o);
	}
	snapshot_close(&s);
	return rc;
}

static int do_verify(char **args, uint64_t *clock, struct err *err)
{
	struct snapshot s;
	struct oci_blob blob;
	(void)clock;
	int rc = snapshot_open(FD_SECOND, args[0], &s, err);
	if (rc < 0)
		return rc;
	rc = snapshot_verify(&s, &blob, err);
	if (rc == 0) {
		struct json_object *o = json_object_new_object();
		add_text(o, "digest", s.digest);
		add_number(o, "stored", blob.stored.size);
		add_number(o, "bytes", blob.bytes);
		add_text(o, "session", oci_annotation(&s.manifest, SNAPSHOT_KEY "session"));
		add_text(o, "log", oci_annotation(&s.manifest, SNAPSHOT_KEY "log"));
		add_text(o, "events", oci_annotation(&s.manifest, SNAPSHOT_KEY "events"));
		put_result(o);
	}
	snapshot_close(&s);
	return rc;
}

static const char *kind_name(const struct snapshot_entry *e)
{
	if (e->kind == UNPACK_NAME_WHITEOUT)
		return "deleted";
	if (e->kind == UNPACK_NAME_OPAQUE)
		return "opaque";
	if (e->hard_link)
		return "link";
	return S_ISDIR(e->mode)    ? "directory"
	       : S_ISLNK(e->mode)  ? "symlink"
	       : S_ISFIFO(e->mode) ? "fifo"
				   : "file";
}

static void add_signed(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

/* json-c writes and reads bytes that are no UTF-8 as they are: any path survives. */
static int put_entry(const struct snapshot_entry *e, void *arg)
{
	struct json_object *o = json_object_new_object();
	(void)arg;
	add_text(o, "kind", kind_name(e));
	add_text(o, "path", e->path);
	add_number(o, "mode", e->mode);
	add_number(o, "uid", e->uid);
	add_number(o, "gid", e->gid);
	add_signed(o, "size", e->size);
	add_signed(o, "mtime_s", e->mtime_s);
	add_signed(o, "mtime_ns", e->mtime_ns);
	if (e->target)
		add_text(o, "target", e->target);
	if (e->digest[0])
		add_text(o, "digest", e->digest);
	printf("entry %s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return ferror(stdout) ? -EPIPE : 0;
}

static int do_entries(char **args, uint64_t *clock, struct err *err)
{
	struct snapshot s;
	(void)clock;
	int rc = snapshot_open(FD_SECOND, args[0], &s, err);
	if (rc < 0)
		return rc;
	rc = snapshot_entries(&s, put_entry, NULL, err);
	snapshot_close(&s);
	return rc;
}

static int do_import(char **args, uint64_t *clock, struct err *err)
{
	struct image_made made;
	const struct image_request req = {
		.source_fd = FD_FIRST,
		.tag = args[0],
		.cache_fd = FD_SECOND,
		.progress = on_progress,
		.arg = clock,
	};
	int rc = image_import(&req, &made, err);
	if (rc < 0)
		return rc;
	struct json_object *o = json_object_new_object();
	add_text(o, "chain", made.chain);
	add_number(o, "layers", made.layers);
	json_object_object_add(o, "found", json_object_new_boolean(made.found));
	add_number(o, "entries", made.counts.entries);
	add_number(o, "bytes", made.counts.bytes);
	add_number(o, "devices", made.counts.devices);
	add_number(o, "setuid", made.counts.setuid);
	add_number(o, "attributes", made.counts.attributes);
	put_result(o);
	return 0;
}

/* What each job touches, and how. */
static const struct job {
	const char *name;
	int (*run)(char **args, uint64_t *clock, struct err *err);
	bool wants_name;
	struct confine_place places[2];
	bool overlay_marks; /* reads or writes trusted.overlay.* */
} jobs[] = {
	{ "write", do_write, true, { { FD_FIRST, false }, { FD_SECOND, true } }, true },
	{ "restore", do_restore, true, { { FD_FIRST, true }, { FD_SECOND, false } }, true },
	{ "verify", do_verify, true, { { FD_SECOND, false }, { -1, false } }, false },
	{ "entries", do_entries, true, { { FD_SECOND, false }, { -1, false } }, false },
	{ "import", do_import, false, { { FD_FIRST, false }, { FD_SECOND, true } }, false },
};

static const struct job *find_job(int argc, char **argv)
{
	for (size_t i = 0; argc >= 2 && i < sizeof(jobs) / sizeof(jobs[0]); i++)
		if (strcmp(argv[1], jobs[i].name) == 0 && (argc > 2 || !jobs[i].wants_name))
			return &jobs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct err err = { "" };
	uint64_t clock = 0;
	bool landlock;
	const struct job *job = find_job(argc, argv);
	if (!job) {
		fputs("vsandbox-archive: started by vsandbox; see vsandbox(1), snapshot and "
		      "--rootfs\n",
		      stderr);
		return 125;
	}
	/* Archives hold names as UTF-8; the environment is empty. */
	setlocale(LC_CTYPE, "C.UTF-8");
	umask(022);
	int rc = archive_confine(job->places, 2, job->overlay_marks, &landlock, &err);
	if (rc == 0)
		rc = job->run(argv + 2, &clock, &err);
	if (rc < 0) {
		char text[2 * ERR_TEXT_SIZE];
		struct buf b;
		buf_init(&b, text, sizeof(text));
		buf_term(&b, err.text[0] ? err.text : strerrordesc_np(-rc),
			 strlen(err.text[0] ? err.text : strerrordesc_np(-rc)));
		printf("error %d %s\n", -rc, text);
	}
	return fflush(stdout) == 0 && rc == 0 ? 0 : 1;
}
