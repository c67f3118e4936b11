#include "launcher/snapshots.h"

#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/fd.h"
#include "base/scope.h"
#include "launcher/archive.h"
#include "rootfs/oci.h"
#include "rootfs/remove.h"
#include "rootfs/upper.h"

enum { NUMBER_MAX = 1000000 };

static bool valid_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(name);
	return len > 0 && len < SNAPSHOT_NAME_SIZE && *name != '.' && *name != '-' &&
	       strspn(name, allowed) == len;
}

int snapshots_open(struct err *err)
{
	char path[STATE_PATH_SIZE];
	cleanup_fd int state = state_open(path, err);
	return state < 0 ? state : state_subdir(state, "snapshots", err);
}

static int stop_at_first(const struct change *c, void *arg)
{
	(void)c, (void)arg;
	return 1;
}

/* 1 it does, 0 it does not, -errno. */
static int has_changes(const struct session *s, struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	int rc = faccessat(s->dirfd, "layers.json", F_OK, 0) < 0 ? -ENOENT
								 : overlay_load(s->dirfd, o, err);
	if (rc == 0) {
		rc = upper_walk(o, stop_at_first, NULL, err);
		overlay_finish(o);
	}
	free(o);
	return rc == -ENOENT ? 0 : rc;
}

static bool is_there(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int choose_name(int dirfd, const struct session *s, const char *given,
		       char ret[static SNAPSHOT_NAME_SIZE], struct err *err)
{
	if (given && !valid_name(given))
		return err_set(err, EINVAL,
			       "'%.80s': the name of a snapshot is made of letters, digits and "
			       "._-, at most %d, and begins with a letter or digit",
			       given, SNAPSHOT_NAME_SIZE - 1);
	if (given) {
		snprintf(ret, SNAPSHOT_NAME_SIZE, "%s", given);
		return 0;
	}
	for (unsigned n = 1; n < NUMBER_MAX; n++) {
		snprintf(ret, SNAPSHOT_NAME_SIZE, "%s.%u", s->id, n);
		if (!is_there(dirfd, ret))
			return 0;
	}
	return err_set(err, EEXIST, "session %s has too many snapshots", s->id);
}

/*
 * A snapshot that was killed leaves its passing directory: no other is being
 * made when the lock is to be had alone. The shared one is held until ours is done.
 */
static int lock_store(int dirfd, struct err *err)
{
	cleanup_fd int lock = openat(dirfd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return err_sys(err, errno, "cannot lock the snapshots");
	if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
		cleanup_dir DIR *d = fd_opendir(dirfd, ".", 0);
		for (const struct dirent *e; d && (e = readdir(d));)
			if (e->d_name[0] == '.' && strstr(e->d_name, ".tmp."))
				remove_tree(dirfd, e->d_name);
	}
	if (flock(lock, LOCK_SH) < 0)
		return err_sys(err, errno, "cannot lock the snapshots");
	return take_fd(&lock);
}

static int write_one(const struct session *s, int dirfd, const char *name, const char *reason,
		     struct err *err)
{
	char notes[5][512], created[32], hash[HASH_HEX];
	const char *args[8] = { "write", name };
	struct json_object *result = NULL;
	struct tm tm;
	time_t now = time(NULL);
	unsigned count = 2;
	gmtime_r(&now, &tm);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(notes[0], sizeof(notes[0]), "org.opencontainers.image.created=%s", created);
	snprintf(notes[1], sizeof(notes[1]), "io.vsandbox.session=%s", s->id);
	snprintf(notes[2], sizeof(notes[2]), "io.vsandbox.reason=%s", reason);
	for (unsigned i = 0; i < 3; i++)
		args[count++] = notes[i];
	const char *policy = session_text(s, "policy");
	if (*policy) {
		snprintf(notes[3], sizeof(notes[3]), "io.vsandbox.policy=%s", policy);
		args[count++] = notes[3];
	}
	int rc = eventlog_tip(s->dirfd, hash, err);
	/* the gateway of a running session may be in the middle of a line */
	for (unsigned tries = 0; rc == -EBADMSG && s->state == SESSION_RUNNING && tries < 50;
	     tries++) {
		usleep(10000);
		rc = eventlog_tip(s->dirfd, hash, err);
	}
	if (rc == 0) {
		snprintf(notes[4], sizeof(notes[4]), "io.vsandbox.log=sha256:%s", hash);
		args[count++] = notes[4];
	} else if (rc != -ENODATA && rc != -ENOENT) {
		return rc;
	}
	const struct archive_job job = { .args = args,
					 .fds = { s->dirfd, dirfd, -1 },
					 .doing = "snapshot" };
	rc = archive_run(&job, &result, err);
	json_object_put(result);
	return rc;
}

int snapshots_take(const struct session *s, const char *name, const char *reason,
		   char ret[static SNAPSHOT_NAME_SIZE], struct err *err)
{
	int rc = has_changes(s, err);
	if (rc <= 0)
		return rc == 0 ? 1 : rc;
	cleanup_fd int dirfd = snapshots_open(err);
	if (dirfd < 0)
		return dirfd;
	cleanup_fd int lock = lock_store(dirfd, err);
	if (lock < 0)
		return lock;
	rc = choose_name(dirfd, s, name, ret, err);
	return rc < 0 ? rc : write_one(s, dirfd, ret, reason, err);
}

/* A file of at most OCI_JSON_MAX bytes; owned. NULL with the reason in @why. */
static char *read_text(int dirfd, const char *path, size_t *ret_len, char *why, size_t why_size)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > OCI_JSON_MAX) {
		snprintf(why, why_size, "%.40s: %s", path,
			 fd < 0 ? strerrordesc_np(errno) : "not what was written");
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n < 0) {
		free(text);
		snprintf(why, why_size, "%.40s cannot be read", path);
		return NULL;
	}
	text[n] = '\0';
	*ret_len = (size_t)n;
	return text;
}

static void copy_note(const struct oci_manifest *m, const char *key, char *out, size_t size)
{
	const char *text = oci_annotation(m, key);
	snprintf(out, size, "%s", text ? text : "");
}

static uint64_t number_note(const struct oci_manifest *m, const char *key)
{
	const char *text = oci_annotation(m, key);
	return text ? strtoull(text, NULL, 10) : 0;
}

static void fill_row(const struct oci_manifest *m, struct snapshot_row *row)
{
	struct tm tm = { 0 };
	copy_note(m, "io.vsandbox.session", row->session, sizeof(row->session));
	copy_note(m, "org.opencontainers.image.created", row->created, sizeof(row->created));
	copy_note(m, "io.vsandbox.reason", row->reason, sizeof(row->reason));
	copy_note(m, "io.vsandbox.policy", row->policy, sizeof(row->policy));
	copy_note(m, "io.vsandbox.log", row->log, sizeof(row->log));
	row->entries = number_note(m, "io.vsandbox.entries");
	row->bytes = number_note(m, "io.vsandbox.bytes");
	row->stored = m->layer_count ? m->layers[0].size : 0;
	if (strptime(row->created, "%Y-%m-%dT%H:%M:%SZ", &tm))
		row->created_s = timegm(&tm);
}

/* What the manifest says, unverified: `verify` and `restore` check digests. */
static void read_row(int dirfd, const char *name, struct snapshot_row *row)
{
	struct oci_index *index = malloc(sizeof(*index));
	struct oci_manifest *m = malloc(sizeof(*m));
	struct err err = { "" };
	size_t len = 0;
	char path[128];
	*row = (struct snapshot_row){ 0 };
	snprintf(row->name, sizeof(row->name), "%s", name);
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *text =
		read_text(fd, "index.json", &len, row->damage, sizeof(row->damage));
	const struct oci_reference *r = NULL;
	if (index && m && text && oci_index_parse(text, len, index, &err) == 0)
		r = oci_index_choose(index, NULL, &err);
	if (r) {
		snprintf(path, sizeof(path), "blobs/sha256/%.64s", r->descriptor.digest + 7);
		cleanup_free char *manifest =
			read_text(fd, path, &len, row->damage, sizeof(row->damage));
		if (manifest && oci_manifest_parse(manifest, len, m, &err) == 0) {
			fill_row(m, row);
			oci_manifest_finish(m);
		}
	}
	if (err.text[0])
		snprintf(row->damage, sizeof(row->damage), "%.100s", err.text);
	free(index);
	free(m);
}

static int newest_first(const void *a, const void *b)
{
	const struct snapshot_row *x = a, *y = b;
	return x->created_s != y->created_s ? (x->created_s < y->created_s ? 1 : -1)
					    : strverscmp(y->name, x->name);
}

int snapshots_list(int dirfd, struct snapshot_row **ret, struct err *err)
{
	cleanup_dir DIR *d = fd_opendir(dirfd, ".", 0);
	if (!d)
		return err_sys(err, errno, "cannot list the snapshots");
	struct snapshot_row *rows = NULL;
	int count = 0, room = 0;
	for (const struct dirent *e; (e = readdir(d));) {
		if (!valid_name(e->d_name))
			continue;
		if (count == room) {
			room = room ? room * 2 : 16;
			struct snapshot_row *more = realloc(rows, (size_t)room * sizeof(*rows));
			if (!more) {
				free(rows);
				return err_set(err, ENOMEM, "out of memory");
			}
			rows = more;
		}
		read_row(dirfd, e->d_name, &rows[count++]);
	}
	if (count)
		qsort(rows, (size_t)count, sizeof(*rows), newest_first);
	*ret = rows;
	return count;
}

int snapshots_find(int dirfd, const char *name, struct snapshot_row *ret, struct err *err)
{
	struct snapshot_row *rows = NULL;
	int count = snapshots_list(dirfd, &rows, err), found = -1, matches = 0;
	for (int i = 0; i < count; i++) {
		const char *dash = strchr(rows[i].name, '-');
		if (strcmp(rows[i].name, name) == 0) {
			found = i;
			matches = 1;
			break;
		}
		if (strncmp(rows[i].name, name, strlen(name)) != 0 &&
		    (!dash || strncmp(dash + 1, name, strlen(name)) != 0))
			continue;
		found = i;
		matches++;
	}
	int rc = count < 0 ? count : 0;
	if (rc == 0 && matches == 0)
		rc = err_set(err, ENOENT, "there is no snapshot '%.64s'; vsandbox snapshot list",
			     name);
	if (rc == 0 && matches > 1)
		rc = err_set(err, EINVAL, "snapshot '%.64s' is ambiguous: %d begin so", name,
			     matches);
	if (rc == 0)
		*ret = rows[found];
	free(rows);
	return rc;
}

int snapshots_remove(int dirfd, const char *name, struct err *err)
{
	char aside[96];
	/* out of sight in one step: half of one is never listed */
	snprintf(aside, sizeof(aside), ".%s.tmp.%d", name, getpid());
	int rc = renameat(dirfd, name, dirfd, aside) < 0 ? -errno : remove_tree(dirfd, aside);
	return rc < 0 ? err_sys(err, -rc, "cannot remove the snapshot %s", name) : 0;
}
