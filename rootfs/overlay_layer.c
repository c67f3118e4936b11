/* One layer: an overlay mount that nobody sees yet. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/overlay_plan.h"

/* What the context of a failed fsconfig has to say, after its severity mark; "" nothing. */
static void read_context(int fsfd, char *text, size_t size)
{
	ssize_t n = read(fsfd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (n > 2 && text[1] == ' ')
		memmove(text, text + 2, strlen(text + 2) + 1);
}

/* Overlayfs takes ':' as a separator and '\' as its escape. */
static int set_path(int fsfd, const char *key, const char *path)
{
	char escaped[2 * PATH_MAX];
	char *out = escaped;
	for (; *path && out < escaped + sizeof(escaped) - 2; path++) {
		if (*path == ':' || *path == '\\')
			*out++ = '\\';
		*out++ = *path;
	}
	*out = '\0';
	if (fsconfig(fsfd, FSCONFIG_SET_STRING, key, escaped, 0) < 0)
		return -errno;
	return 0;
}

static int set_string(int fsfd, const char *key, const char *value)
{
	return fsconfig(fsfd, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

static int set_flag(int fsfd, const char *key)
{
	return fsconfig(fsfd, FSCONFIG_SET_FLAG, key, NULL, 0) < 0 ? -errno : 0;
}

/*
 * The image with the session's template above it. By descriptor: the text of a mount option ends after
 * 255 bytes, which two paths soon exceed.
 */
static int set_image(int fsfd, const struct overlay_request *req)
{
	char both[64], above[PATH_MAX];
	/* by its path: the session's descriptor belongs to mounts that are not ours any more (EINVAL) */
	snprintf(above, sizeof(above), "%s/template", req->session_path);
	cleanup_fd int a = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int b = open(req->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a < 0 || b < 0)
		return -errno;
	snprintf(both, sizeof(both), "/proc/self/fd/%d:/proc/self/fd/%d", a, b);
	return set_string(fsfd, "lowerdir", both);
}

int overlay_layer_mount(const struct overlay *o, const struct overlay_request *req,
			const struct overlay_layer *l, const char *lower, struct err *err)
{
	char upper[PATH_MAX], work[PATH_MAX], text[200] = "";
	if (snprintf(upper, sizeof(upper), "%s/layers/%u/upper", req->session_path, l->index) >=
		    (int)sizeof(upper) ||
	    snprintf(work, sizeof(work), "%s/layers/%u/work", req->session_path, l->index) >=
		    (int)sizeof(work))
		return err_set(err, ENAMETOOLONG, "overlay: the session's path is too long");
	cleanup_fd int fsfd = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fsfd < 0)
		return err_sys(err, errno,
			       "overlay: cannot open the file system type (is the kernel module "
			       "'overlay' loaded?)");
	int rc = set_string(fsfd, "source", "vsandbox");
	if (rc == 0 && strcmp(l->mount, "/") == 0 && req->rootfs)
		rc = set_image(fsfd, req);
	else if (rc == 0)
		rc = set_path(fsfd, "lowerdir", lower);
	if (rc == 0)
		rc = set_path(fsfd, "upperdir", upper);
	if (rc == 0)
		rc = set_path(fsfd, "workdir", work);
	if (rc == 0 && !o->rootful)
		rc = set_flag(fsfd, "userxattr");
	/* a path's upper must be found under the same path: no redirects, whatever the distribution's default */
	if (rc == 0 && o->rootful)
		rc = set_string(fsfd, "redirect_dir", "off");
	if (rc == 0 && o->rootful)
		rc = set_string(fsfd, "metacopy", "off");
	/*
	 * Two names of one file show one number, also when the state is on another file system (git checks). In the
	 * skeleton, whose template always is on another, directories show the number that their parent lists.
	 */
	if (rc == 0 && (o->rootful || (strcmp(l->mount, "/") == 0 && !req->rootfs)))
		rc = set_string(fsfd, "xino", "on");
	if (rc == 0 && req->volatile_upper)
		rc = set_flag(fsfd, "volatile");
	if (rc == 0 && fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		rc = -errno;
	if (rc < 0) {
		read_context(fsfd, text, sizeof(text));
		return err_sys(err, -rc, "overlay: cannot layer %s%s%s%s", l->mount,
			       text[0] ? " (" : "", text, text[0] ? ")" : "");
	}
	int mnt = fsmount(fsfd, FSMOUNT_CLOEXEC,
			  (unsigned)(OVERLAY_MOUNT_ATTR | (l->read_only ? MOUNT_ATTR_RDONLY : 0)));
	if (mnt < 0)
		return err_sys(err, errno, "overlay: cannot mount the layer of %s", l->mount);
	return mnt;
}
