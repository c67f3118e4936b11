#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/undo.h"

static void finish_layer(struct undo_layer *l)
{
	free(l->mount);
	scope_close(&l->upper_fd);
	scope_close(&l->lower_fd);
}

int undo_layers_open(const struct overlay *o, struct undo_layers *ret, struct err *err)
{
	*ret = (struct undo_layers){ .items = calloc(o->count + 1, sizeof(*ret->items)) };
	if (!ret->items)
		return err_sys(err, ENOMEM, "undo");
	for (unsigned i = 0; i < o->count; i++) {
		const struct overlay_layer *from = &o->layers[i];
		struct undo_layer *l = &ret->items[ret->count];
		if (from->upper_fd < 0)
			continue;
		/* rootless, the layer of / stands on a template that is made for each run: no lower */
		bool skeleton = !o->rootful && strcmp(from->mount, "/") == 0;
		*l = (struct undo_layer){
			.mount = strdup(from->mount),
			.mount_len = from->mount[1] ? strlen(from->mount) : 0,
			.upper_fd = fcntl(from->upper_fd, F_DUPFD_CLOEXEC, 3),
			.lower_fd =
				skeleton ? -1 : open(from->lower, O_PATH | O_DIRECTORY | O_CLOEXEC),
			.rootful = o->rootful,
			.bare = skeleton,
		};
		if (!l->mount || l->upper_fd < 0) {
			finish_layer(l);
			undo_layers_close(ret);
			return err_sys(err, ENOMEM, "undo: the layer of %s", from->mount);
		}
		ret->count++;
	}
	return 0;
}

/* mountinfo writes blanks and the like as \\NNN. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *at = text; *at; at++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
			*to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* Names there are no files but doors to the kernel. */
static bool is_kernels(const char *type)
{
	static const char *const types[] = {
		"proc",      "sysfs",       "cgroup",     "cgroup2",    "devpts",
		"mqueue",    "debugfs",     "tracefs",    "securityfs", "pstore",
		"bpf",       "binfmt_misc", "configfs",   "efivarfs",   "autofs",
		"hugetlbfs", "fusectl",     "rpc_pipefs", "selinuxfs",
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static int add_real(struct undo_layers *ret, unsigned long long id, const char *mount)
{
	struct undo_layer *more = reallocarray(ret->items, ret->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	ret->items = more;
	struct undo_layer l = { .mount = strdup(mount),
				.mount_len = mount[1] ? strlen(mount) : 0,
				.mnt_id = id,
				.upper_fd = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC),
				.lower_fd = -1,
				.rootful = true,
				.real = true };
	struct statx sx;
	/* one that another covers, or a mounted file: nothing is reached through it */
	if (l.upper_fd < 0 || statx(l.upper_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 ||
	    sx.stx_mnt_id != id || !l.mount) {
		int r = l.mount ? 0 : -ENOMEM;
		finish_layer(&l);
		return r;
	}
	ret->items[ret->count++] = l;
	return 0;
}

int undo_layers_real(int proc_fd, struct undo_layers *ret, struct err *err)
{
	*ret = (struct undo_layers){ 0 };
	cleanup_fd int fd = openat(proc_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	cleanup_free char *line = NULL;
	size_t size = 0;
	if (!f)
		return err_sys(err, errno, "undo: the mounts cannot be seen");
	fd = -1; /* the stream owns it */
	while (getline(&line, &size, f) > 0) {
		/* proc(5): id parent major:minor root mount options [tags] - type source options */
		unsigned long long id;
		char mount[PATH_MAX * 4 / 3], type[64];
		const char *tail = strstr(line, " - ");
		if (!tail || sscanf(tail, " - %63s", type) != 1 || is_kernels(type) ||
		    sscanf(line, "%llu %*s %*s %*s %5460s", &id, mount) != 2)
			continue;
		unescape(mount);
		int r = add_real(ret, id, mount);
		if (r < 0) {
			undo_layers_close(ret);
			return err_sys(err, -r, "undo");
		}
	}
	return 0;
}

static int mount_id(int root_fd, const struct undo_layer *l, uint64_t *ret)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	struct statx sx;
	cleanup_fd int fd = (int)syscall(SYS_openat2, root_fd, l->mount[1] ? l->mount + 1 : ".",
					 &how, sizeof(how));
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	*ret = sx.stx_mnt_id;
	return sx.stx_mask & STATX_MNT_ID ? 0 : -EOPNOTSUPP;
}

int undo_layers_find(struct undo_layers *l, int root_fd, struct err *err)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < l->count; i++) {
		int r = mount_id(root_fd, &l->items[i], &l->items[i].mnt_id);
		if (r == -EOPNOTSUPP)
			return err_sys(err, -r, "undo: the kernel does not number mounts");
		/* a layer that something else covers: nobody writes to it */
		if (r < 0)
			finish_layer(&l->items[i]);
		else
			l->items[kept++] = l->items[i];
	}
	l->count = kept;
	return 0;
}

void undo_layers_close(struct undo_layers *l)
{
	for (unsigned i = 0; i < l->count; i++)
		finish_layer(&l->items[i]);
	free(l->items);
	*l = (struct undo_layers){ 0 };
}

const struct undo_layer *undo_layer_by_mount(const struct undo_layers *l, uint64_t mnt_id)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->items[i].mnt_id == mnt_id)
			return &l->items[i];
	return NULL;
}

const char *undo_layer_path(const struct undo_layer *l, const char *path)
{
	path += l->mount_len;
	path += *path == '/';
	return *path ? path : ".";
}

bool undo_layer_lower_lacks(const struct undo_layer *l, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve =
					RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	if (l->lower_fd < 0)
		return l->bare;
	cleanup_fd int fd =
		(int)syscall(SYS_openat2, l->lower_fd, undo_layer_path(l, path), &how, sizeof(how));
	return fd < 0 && errno == ENOENT;
}
