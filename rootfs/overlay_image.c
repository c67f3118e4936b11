/*
 * A root file system of its own in place of the host's `/`: an image, with the workspace laid into it.
 *
 * What the image must have but may lack, and what must not come from it, lies in a layer of its own
 * above it, SESSION/template: mount points as real directories, so that no link of the image leads a mount of
 * ours elsewhere, and the three files of /etc that container runtimes provide too.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/scope.h"
#include "rootfs/overlay_plan.h"

struct template
{
	int dirfd; /* SESSION/template; owned */
	int image; /* the root of the image; owned */
	bool owners;
};

/* What the image has at a path of real directories; false when it has something else or nothing. */
static bool image_stat(const struct template *t, const char *path, struct stat *ret)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	cleanup_fd int fd = (int)syscall(SYS_openat2, t->image, path, &how, sizeof(how));
	return fd >= 0 && fstat(fd, ret) == 0;
}

/* Of two merged directories the upper one's owner, mode and time are seen: they are copied. */
static int add_directory(const struct template *t, const char *path, mode_t mode)
{
	struct stat st;
	bool there = image_stat(t, path, &st) && S_ISDIR(st.st_mode);
	if (mkdirat(t->dirfd, path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (there && t->owners && fchownat(t->dirfd, path, st.st_uid, st.st_gid, 0) < 0)
		return -errno;
	if (fchmodat(t->dirfd, path, there ? st.st_mode & 07777 : mode, 0) < 0)
		return -errno;
	if (there)
		utimensat(t->dirfd, path, (struct timespec[]){ st.st_atim, st.st_mtim }, 0);
	return 0;
}

/* An absolute path, each directory on its way. */
static int add_path(const struct template *t, const char *path, mode_t last)
{
	char part[PATH_MAX];
	int rc = 0;
	for (const char *end = path; rc == 0 && *end;) {
		end += 1 + strcspn(end + 1, "/");
		if (end - path < 2)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(end - path - 1), path + 1);
		rc = add_directory(t, part, *end ? 0755 : last);
	}
	return rc;
}

static int add_file(const struct template *t, const char *path, const char *text, size_t len)
{
	cleanup_fd int fd =
		openat(t->dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, len);
	if (rc == 0 && fchmod(fd, 0644) < 0)
		rc = -errno;
	return rc;
}

/* As container runtimes do: names are looked up as the host does, the host's name is the sandbox's. */
static int add_etc(const struct template *t)
{
	char name[HOST_NAME_MAX + 1] = "", text[16384];
	struct stat st;
	if (image_stat(t, "etc", &st) && !S_ISDIR(st.st_mode))
		return 0; /* what it leads to is the image's affair */
	int rc = add_directory(t, "etc", 0755);
	cleanup_fd int in = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = in < 0 ? 0 : read(in, text, sizeof(text));
	if (rc == 0)
		rc = add_file(t, "etc/resolv.conf", text, n < 0 ? 0 : (size_t)n);
	gethostname(name, sizeof(name) - 1);
	int len = snprintf(text, sizeof(text), "%s\n", name);
	if (rc == 0)
		rc = add_file(t, "etc/hostname", text, (size_t)len);
	len = snprintf(
		text, sizeof(text),
		"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t"
		"%s\n",
		name);
	if (rc == 0)
		rc = add_file(t, "etc/hosts", text, (size_t)len);
	/* the image's own time, which the files have moved */
	if (rc == 0 && image_stat(t, "etc", &st))
		utimensat(t->dirfd, "etc", (struct timespec[]){ st.st_atim, st.st_mtim }, 0);
	return rc;
}

static int fill(const struct template *t, const struct overlay_request *req)
{
	static const struct {
		const char *path;
		mode_t mode;
	} wanted[] = { { "proc", 0555 },
		       { "sys", 0555 },
		       { "dev", 0755 },
		       { "run", 0755 },
		       { "tmp", 01777 } };
	struct stat st;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		rc = add_directory(t, wanted[i].path, wanted[i].mode);
	if (rc == 0)
		rc = add_etc(t);
	if (rc == 0)
		rc = add_path(t, req->workspace, 0755);
	for (unsigned i = 0; rc == 0 && req->writable && req->writable[i]; i++)
		/* home, temporary directory, where the command starts: there, if empty */
		if (!image_stat(t, req->writable[i] + 1, &st))
			rc = add_path(t, req->writable[i], 0755);
	return rc;
}

int overlay_make_image_template(const struct overlay_request *req, bool owners, struct err *err)
{
	struct stat st;
	if (mkdirat(req->session_dirfd, "template", 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "overlay: cannot make %s/template", req->session_path);
	cleanup_fd int dirfd = openat(req->session_dirfd, "template",
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int image = open(req->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || image < 0)
		return err_sys(err, errno, "overlay: cannot open %s",
			       dirfd < 0 ? "the template" : req->rootfs);
	const struct template t = { .dirfd = dirfd, .image = image, .owners = owners };
	int rc = fill(&t, req);
	if (rc == 0 &&
	    (fstat(image, &st) < 0 || (owners && fchown(dirfd, st.st_uid, st.st_gid) < 0) ||
	     fchmod(dirfd, st.st_mode & 07777) < 0))
		rc = -errno;
	return rc < 0 ? err_sys(err, -rc, "overlay: cannot fill %s/template", req->session_path)
		      : 0;
}

int overlay_plan_image(const struct mount_table *t, const struct overlay_request *req,
		       struct overlay *o, struct err *err)
{
	if (!req->workspace[1] || path_is_fresh(req->workspace))
		return err_set(err, EINVAL,
			       "overlay: %s cannot be laid into an image; start from another "
			       "directory",
			       req->workspace);
	int rc = overlay_add_layer(o, "/", req->rootfs, false, err);
	if (rc == 0)
		rc = overlay_add_layer(o, req->workspace, req->workspace, false, err);
	for (size_t i = 0; rc == 0 && i < t->count; i++) {
		const struct mount_point *m = &t->items[i];
		struct stat st;
		if (path_is_within(req->rootfs, m->path) || mount_is_pseudo(t, m))
			continue;
		if (path_is_within(m->path, req->rootfs))
			return err_set(err, EBUSY,
				       "overlay: %s is mounted below the image: unmount it, or "
				       "use an image without mounts",
				       m->path);
		if (!path_is_within(m->path, req->workspace) ||
		    strcmp(m->path, req->workspace) == 0 || lstat(m->path, &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		if (!o->rootful)
			return err_set(err, EBUSY,
				       "overlay: %s is mounted below the workspace, which only "
				       "root can lay into an image with its mounts",
				       m->path);
		rc = overlay_add_layer(o, m->path, m->path, m->read_only, err);
	}
	return rc;
}
