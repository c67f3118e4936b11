#include "sandbox/revive.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/overlay.h"
#include "sandbox/box_private.h"

/* How the child ended, in memory that both see. */
struct outcome {
	int rc;
	struct err err;
};

static int write_map(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* An ordinary user mounts in a user namespace of his own, in which he is who he is. */
static int enter_namespaces(bool rootful, struct err *err)
{
	char line[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWNS | (rootful ? 0 : CLONE_NEWUSER)) < 0)
		return err_sys(err, errno, "rollback: cannot make namespaces for the layers");
	if (!rootful) {
		int rc = write_map("/proc/self/setgroups", "deny");
		snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
		if (rc == 0)
			rc = write_map("/proc/self/uid_map", line);
		snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
		if (rc == 0)
			rc = write_map("/proc/self/gid_map", line);
		if (rc < 0)
			return err_sys(err, -rc, "rollback: cannot map user %u", uid);
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, errno, "rollback: cannot make the copied mounts private");
	return 0;
}

/* The same places as the run was told of become layers of their own: each that one was. */
static int plan_again(const struct revive_request *request, struct overlay *ret, struct err *err)
{
	struct overlay *old = calloc(1, sizeof(*old));
	const char **writable = calloc(OVERLAY_LAYERS_MAX + 1, sizeof(*writable));
	int rc = old && writable ? overlay_load(request->session_dirfd, old, err)
				 : err_sys(err, ENOMEM, "rollback");
	if (rc == 0) {
		for (unsigned i = 0; i < old->count; i++)
			writable[i] = old->layers[i].mount;
		struct overlay_request again = {
			.session_dirfd = request->session_dirfd,
			.session_path = request->session_path,
			.writable = writable,
		};
		rc = overlay_prepare(&again, ret, err);
		if (rc == 0 && ret->rootful != old->rootful) {
			overlay_finish(ret);
			rc = err_set(err, EPERM, "rollback: the session was run %s root",
				     old->rootful ? "as" : "without being");
		}
		overlay_finish(old);
	}
	free(writable);
	free(old);
	return rc;
}

static int mount_again(const struct revive_request *request, struct overlay *o, int *ret_root,
		       struct err *err)
{
	char stage[PATH_MAX], root[PATH_MAX];
	struct overlay_request again = { .session_dirfd = request->session_dirfd,
					 .session_path = request->session_path };
	if (snprintf(stage, sizeof(stage), "%s/root", request->session_path) >=
		    (int)sizeof(stage) ||
	    snprintf(root, sizeof(root), "%s/root/root", request->session_path) >=
		    (int)sizeof(root))
		return err_set(err, ENAMETOOLONG, "rollback: the session's path is too long");
	if (mkdir(stage, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "rollback: cannot make %s", stage);
	if (mount("vsandbox", stage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=0755,size=8m") < 0 ||
	    mkdir(root, 0755) < 0)
		return err_sys(err, errno, "rollback: cannot mount a tmpfs on %s", stage);
	int rc = overlay_mount(o, &again, root, err);
	if (rc < 0)
		return rc;
	*ret_root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_root < 0 ? err_sys(err, errno, "rollback: the merged root") : 0;
}

static int child(const struct revive_request *request,
		 int (*work)(int root_fd, const struct undo_layers *layers, void *arg,
			     struct err *err),
		 void *arg, struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	struct undo_layers layers;
	cleanup_fd int root = -1;
	if (!o)
		return err_sys(err, ENOMEM, "rollback");
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	umask(0);
	int rc = plan_again(request, o, err);
	if (rc == 0)
		rc = undo_layers_open(o, &layers, err); /* while lowers have their host names */
	if (rc == 0)
		rc = enter_namespaces(o->rootful, err);
	if (rc == 0)
		rc = mount_again(request, o, &root, err);
	if (rc == 0)
		rc = undo_layers_find(&layers, root, err);
	/* Should put files back, whoever they belong to, and mustn't be able to do anything else. */
	if (rc == 0)
		rc = capabilities_of_monitor(true, err);
	return rc == 0 ? work(root, &layers, arg, err) : rc;
}

int revive(const struct revive_request *request,
	   int (*work)(int root_fd, const struct undo_layers *layers, void *arg, struct err *err),
	   void *arg, struct err *err)
{
	struct outcome *outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcome == MAP_FAILED)
		return err_sys(err, ENOMEM, "rollback");
	outcome->rc = -ECHILD;
	err_set(&outcome->err, ECHILD, "rollback: it was killed; the next one goes on with it");
	pid_t pid = fork();
	if (pid == 0) {
		struct err mine = { "" };
		int rc = child(request, work, arg, &mine);
		outcome->err = mine;
		outcome->rc = rc;
		_exit(0);
	}
	int rc = pid < 0 ? err_sys(err, errno, "rollback: cannot fork") : 0;
	while (rc == 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (rc == 0) {
		rc = outcome->rc;
		if (rc < 0 && err)
			*err = outcome->err;
	}
	munmap(outcome, sizeof(*outcome));
	return rc;
}
