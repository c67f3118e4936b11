#include "launcher/image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/scope.h"
#include "launcher/archive.h"
#include "launcher/log.h"

/* Until then a file could still change within the same tick of its file system's clock. */
enum { SETTLED_SECONDS = 2 };

/* The image's file or layout, and which image in it. */
struct source {
	char path[PATH_MAX];
	const char *tag; /* NULL none; into what was given */
	int fd;          /* owned */
	struct stat st;  /* of what decides: the file, or the layout's index.json */
	char key[HASH_HEX];
};

static int open_source(const char *given, struct source *s, struct err *err)
{
	*s = (struct source){ .fd = -1 };
	const char *colon = strrchr(given, ':');
	snprintf(s->path, sizeof(s->path), "%s", given);
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0 && errno == ENOENT && colon && !strchr(colon, '/') && colon[1]) {
		s->tag = colon + 1;
		snprintf(s->path, sizeof(s->path), "%.*s", (int)(colon - given), given);
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	/* an image's name has a colon of its own: FILE:NAME:TAG */
	for (const char *at = given; s->fd < 0 && errno == ENOENT && (at = strchr(at, ':')); at++) {
		s->tag = at + 1;
		snprintf(s->path, sizeof(s->path), "%.*s", (int)(at - given), given);
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (s->fd < 0 || fstat(s->fd, &s->st) < 0)
		return err_sys(err, errno, "--rootfs %.200s", given);
	return 0;
}

/* The state that says whether it is what was unpacked before. */
static void make_key(struct source *s)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 ".%09ld %" PRId64
			 ".%09ld %.300s",
			 (uint64_t)s->st.st_dev, (uint64_t)s->st.st_ino, (int64_t)s->st.st_size,
			 (int64_t)s->st.st_mtim.tv_sec, s->st.st_mtim.tv_nsec,
			 (int64_t)s->st.st_ctim.tv_sec, s->st.st_ctim.tv_nsec,
			 s->tag ? s->tag : "");
	hash_hex(text, (size_t)n, s->key);
}

/* The chain id that was noted for this state of the source; "" none, or no longer there. */
static void recall(int cache, const struct source *s, char ret[static OCI_DIGEST_SIZE])
{
	char path[128], text[OCI_DIGEST_SIZE + 1] = "";
	*ret = '\0';
	snprintf(path, sizeof(path), "sources/%s", s->key);
	cleanup_fd int fd = openat(cache, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	if (!oci_digest_valid(text))
		return;
	snprintf(path, sizeof(path), "sha256/%.64s/config.json", text + 7);
	if (faccessat(cache, path, R_OK, AT_SYMLINK_NOFOLLOW) == 0)
		memcpy(ret, text, OCI_DIGEST_SIZE);
}

static int note(int cache, const struct source *s, const char *chain, struct err *err)
{
	char text[OCI_DIGEST_SIZE + 1];
	if (time(NULL) - s->st.st_ctim.tv_sec < SETTLED_SECONDS)
		return 0;
	cleanup_fd int sources = state_subdir(cache, "sources", err);
	if (sources < 0)
		return sources;
	int n = snprintf(text, sizeof(text), "%s\n", chain);
	return state_write_file(sources, s->key, text, (size_t)n, err);
}

static uint64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *value;
	return json_object_object_get_ex(o, key, &value) ? json_object_get_uint64(value) : 0;
}

static void tell(struct json_object *result, const char *given)
{
	static const struct {
		const char *key, *text;
	} notices[] = {
		{ "devices", "device nodes left out" },
		{ "setuid", "setuid or setgid bits taken off" },
		{ "attributes", "extended attributes left out" },
	};
	struct json_object *found;
	if (!json_object_object_get_ex(result, "found", &found) || json_object_get_boolean(found))
		return;
	log_detail("unpacked %s: %" PRIu64 " entries, %" PRIu64 " bytes", given,
		   number_of(result, "entries"), number_of(result, "bytes"));
	for (size_t i = 0; i < sizeof(notices) / sizeof(notices[0]); i++)
		if (number_of(result, notices[i].key))
			log_info("%s: %" PRIu64 " %s", given, number_of(result, notices[i].key),
				 notices[i].text);
}

static int unpack(int cache, const struct source *s, const char *given,
		  char ret[static OCI_DIGEST_SIZE], struct err *err)
{
	const char *args[] = { "import", s->tag, NULL };
	const struct archive_job job = { .args = args,
					 .fds = { s->fd, cache, -1 },
					 .doing = "unpacking the image" };
	struct json_object *result = NULL, *chain;
	struct err why = { "" };
	int rc = archive_run(&job, &result, &why);
	if (rc < 0)
		return err_set(err, -rc, "--rootfs %.120s: %.380s", given, why.text);
	if (!json_object_object_get_ex(result, "chain", &chain) ||
	    !json_object_is_type(chain, json_type_string) ||
	    !oci_digest_valid(json_object_get_string(chain)))
		rc = err_set(err, EPROTO, "vsandbox-archive did not say what it unpacked");
	else
		memcpy(ret, json_object_get_string(chain), OCI_DIGEST_SIZE);
	if (rc == 0)
		tell(result, given);
	json_object_put(result);
	return rc;
}

static int read_config(int cache, const char *chain, struct oci_config *ret, struct err *err)
{
	char path[128];
	snprintf(path, sizeof(path), "sha256/%.64s/config.json", chain + 7);
	cleanup_fd int fd = openat(cache, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *text = malloc(OCI_JSON_MAX);
	ssize_t n = fd < 0 || !text ? -1 : read(fd, text, OCI_JSON_MAX);
	if (n < 0)
		return err_sys(err, fd < 0 ? errno : ENOMEM, "the image's config in the cache");
	return oci_config_parse(text, (size_t)n, ret, err);
}

static int open_cached(const char *given, struct source *s, struct image *ret, struct err *err)
{
	char chain[OCI_DIGEST_SIZE];
	cleanup_fd int cache = state_cache_open(ret->cache, err);
	if (cache < 0)
		return cache;
	make_key(s);
	recall(cache, s, chain);
	if (!*chain) {
		int rc = unpack(cache, s, given, chain, err);
		if (rc == 0)
			rc = note(cache, s, chain, err);
		if (rc < 0)
			return rc;
	}
	if (snprintf(ret->root, sizeof(ret->root), "%s/sha256/%s/rootfs", ret->cache, chain + 7) >=
	    (int)sizeof(ret->root))
		return err_set(err, ENAMETOOLONG, "the name of the cache is too long");
	return read_config(cache, chain, &ret->config, err);
}

int image_open(const char *given, struct image *ret, struct err *err)
{
	struct source s;
	*ret = (struct image){ 0 };
	int rc = open_source(given, &s, err);
	struct stat index;
	if (rc == 0 && S_ISDIR(s.st.st_mode)) {
		if (faccessat(s.fd, "oci-layout", F_OK, 0) == 0 &&
		    fstatat(s.fd, "index.json", &index, 0) == 0) {
			s.st = index;
			rc = open_cached(given, &s, ret, err);
		} else if (s.tag) {
			rc = err_set(err, EINVAL, "--rootfs %.200s: a directory has no tags",
				     given);
		} else if (!realpath(s.path, ret->root)) {
			rc = err_sys(err, errno, "--rootfs %.200s", given);
		} else if (strcmp(ret->root, "/") == 0) {
			rc = err_set(err, EINVAL,
				     "--rootfs /: that is what a run without --rootfs shows");
		}
	} else if (rc == 0 && S_ISREG(s.st.st_mode)) {
		rc = open_cached(given, &s, ret, err);
	} else if (rc == 0) {
		rc = err_set(err, EINVAL, "--rootfs %.200s: neither a directory nor a file", given);
	}
	scope_close(&s.fd);
	if (rc < 0)
		image_close(ret);
	return rc;
}

void image_close(struct image *i)
{
	oci_config_finish(&i->config);
	i->root[0] = '\0';
}

char **image_argv(const struct image *i, char *const *args)
{
	static char *const none[] = { NULL };
	char *const *first = i->config.entrypoint ? i->config.entrypoint : none;
	char *const *second = i->config.cmd ? i->config.cmd : none;
	/* a command that was given is run as it is: the image's entry point is for its own */
	if (*args) {
		first = none;
		second = args;
	}
	size_t count = 0, room = 1;
	for (char *const *w = first; *w; w++)
		room++;
	for (char *const *w = second; *w; w++)
		room++;
	char **argv = room > 1 ? calloc(room, sizeof(*argv)) : NULL;
	if (!argv)
		return NULL;
	for (char *const *w = first; *w; w++)
		argv[count++] = *w;
	for (char *const *w = second; *w; w++)
		argv[count++] = *w;
	return argv;
}

/* Does the image have a directory of that name? */
static bool has_directory(const struct image *i, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	cleanup_fd int root = open(i->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = root < 0 ? -1 : fd_openat2(root, path, &how);
	return fd >= 0;
}

char **image_environment(const struct image *i, const char *const *set)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	const char *tmpdir = getenv("TMPDIR");
	bool image = i->root[0] != '\0';
	size_t room = 3, count = 0;
	for (char **e = i->config.env; e && *e; e++)
		room++;
	for (const char *const *s = set; *s; s++)
		room++;
	char **env = calloc(room, sizeof(*env));
	bool whole = env != NULL;
	if (whole && image)
		whole = (env[count++] = strdup(path)) != NULL;
	if (whole && image && tmpdir && !has_directory(i, tmpdir))
		whole = (env[count++] = strdup("TMPDIR=/tmp")) != NULL;
	/* a name alone would pass ours on, and ours are not the image's to set */
	for (char **e = i->config.env; whole && e && *e; e++)
		if (strchr(*e, '=') && **e != '=' && strncmp(*e, "VSANDBOX", 8) != 0)
			whole = (env[count++] = strdup(*e)) != NULL;
	for (const char *const *s = set; whole && *s; s++)
		whole = (env[count++] = strdup(*s)) != NULL;
	if (!whole) {
		image_environment_free(env);
		return NULL;
	}
	return env;
}

void image_environment_free(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}
