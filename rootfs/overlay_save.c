#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/origin.h"
#include "rootfs/overlay.h"
#include "rootfs/overlay_plan.h"

enum { LAYERS_VERSION = 1, LAYERS_FILE_MAX = 1 << 20 };

static void scope_json(struct json_object **o)
{
	json_object_put(*o);
}
#define cleanup_json __attribute__((cleanup(scope_json)))

static bool is_same(int session_dirfd, const char *text, size_t len)
{
	cleanup_fd int fd = openat(session_dirfd, "layers.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *old = fd < 0 ? NULL : malloc(len + 1);
	return old && read(fd, old, len + 1) == (ssize_t)len && memcmp(old, text, len) == 0;
}

int overlay_save(const struct overlay *o, int session_dirfd, struct err *err)
{
	cleanup_json struct json_object *root = json_object_new_object();
	struct json_object *layers = json_object_new_array();
	json_object_object_add(root, "version", json_object_new_int(LAYERS_VERSION));
	json_object_object_add(root, "rootful", json_object_new_boolean(o->rootful));
	json_object_object_add(root, "layers", layers);
	for (unsigned i = 0; i < o->count; i++) {
		struct json_object *layer = json_object_new_object();
		json_object_object_add(layer, "mount", json_object_new_string(o->layers[i].mount));
		json_object_object_add(layer, "lower", json_object_new_string(o->layers[i].lower));
		json_object_object_add(layer, "index", json_object_new_int64(o->layers[i].index));
		json_object_array_add(layers, layer);
	}
	size_t len;
	const char *text = json_object_to_json_string_length(
		root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		return err_sys(err, ENOMEM, "overlay: layers.json");
	/* the usual case on entering a session again; replacing a file costs ext4 a flush */
	if (is_same(session_dirfd, text, len))
		return 0;
	/* renamed into place: a reader sees the old plan or the new one */
	cleanup_fd int fd = openat(session_dirfd, "layers.json.new",
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, len);
	if (rc == 0 && renameat(session_dirfd, "layers.json.new", session_dirfd, "layers.json") < 0)
		rc = -errno;
	return rc < 0 ? err_sys(err, -rc, "overlay: cannot write layers.json") : 0;
}

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *value;
	if (!json_object_object_get_ex(o, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

static int load_layer(struct json_object *o, int session_dirfd, struct overlay *ret)
{
	struct json_object *mount = member(o, "mount", json_type_string);
	struct json_object *lower = member(o, "lower", json_type_string);
	struct json_object *index = member(o, "index", json_type_int);
	if (!mount || !lower || !index || json_object_get_string(mount)[0] != '/' ||
	    json_object_get_string(lower)[0] != '/' || json_object_get_int64(index) < 0 ||
	    json_object_get_int64(index) > 1000000)
		return -EBADMSG;
	struct overlay_layer *l = &ret->layers[ret->count++];
	*l = (struct overlay_layer){
		.mount = strdup(json_object_get_string(mount)),
		.lower = strdup(json_object_get_string(lower)),
		.index = (unsigned)json_object_get_int64(index),
		.upper_fd = -1,
		.mount_fd = -1,
	};
	if (!l->mount || !l->lower)
		return -ENOMEM;
	char path[64];
	snprintf(path, sizeof(path), "layers/%u/upper", l->index);
	l->upper_fd = openat(session_dirfd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return l->upper_fd < 0 && errno != ENOENT ? -errno : 0;
}

static int load(int session_dirfd, const char *name, struct overlay *ret, struct err *err)
{
	cleanup_fd int fd = openat(session_dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "overlay: cannot read %s", name);
	cleanup_free char *text = malloc(LAYERS_FILE_MAX);
	if (!text)
		return err_sys(err, ENOMEM, "overlay: layers.json");
	ssize_t len = fd_read_all(fd, text, LAYERS_FILE_MAX - 1);
	if (len < 0)
		return err_sys(err, (int)-len, "overlay: cannot read %s", name);
	text[len] = '\0';
	cleanup_json struct json_object *root = json_tokener_parse(text);
	struct json_object *layers = root ? member(root, "layers", json_type_array) : NULL;
	struct json_object *version = root ? member(root, "version", json_type_int) : NULL;
	struct json_object *rootful = root ? member(root, "rootful", json_type_boolean) : NULL;
	if (!layers || !version || !rootful || json_object_get_int(version) != LAYERS_VERSION ||
	    json_object_array_length(layers) > OVERLAY_LAYERS_MAX)
		return err_set(err, EBADMSG,
			       "overlay: layers.json is damaged or of another version");
	*ret = (struct overlay){ .detached_fd = -1, .rootful = json_object_get_boolean(rootful) };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_object_array_length(layers); i++)
		rc = load_layer(json_object_array_get_idx(layers, i), session_dirfd, ret);
	if (rc < 0) {
		overlay_finish(ret);
		return err_sys(err, -rc, "overlay: layers.json");
	}
	return 0;
}

int overlay_load(int session_dirfd, struct overlay *ret, struct err *err)
{
	int rc = load(session_dirfd, "layers.json", ret, err);
	if (rc < 0 || faccessat(session_dirfd, "commits", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return rc;
	ret->origins = calloc(1, sizeof(*ret->origins));
	rc = ret->origins ? origin_table_load(session_dirfd, ret->origins, err)
			  : err_sys(err, ENOMEM, "overlay: layers.json");
	if (rc < 0)
		overlay_finish(ret);
	return rc;
}

int overlay_restore(int session_dirfd, const char *name, struct overlay *ret, struct err *err)
{
	int rc = load(session_dirfd, name, ret, err);
	if (rc == 0)
		rc = overlay_uppers_make(ret, session_dirfd);
	return rc < 0 ? err_sys(err, -rc, "overlay: cannot make the layers") : 0;
}
