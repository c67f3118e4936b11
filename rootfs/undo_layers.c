#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
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
