#include "launcher/state.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

const char *state_home(void)
{
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return home;
	const struct passwd *pw = getpwuid(getuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : "/";
}

/* mkdir -p, 0700 for what is made. */
static int make_path(const char *path, struct err *err)
{
	char part[STATE_PATH_SIZE];
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "cannot make the directory %s", part);
		*slash = '/';
	}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "cannot make the directory %s", part);
	return 0;
}

/*
 * Under sudo HOME may still be the other user's: what root keeps must not
 * land there, where its owner could not use it any more.
 */
static const char *own_home(void)
{
	return geteuid() == 0 && access("/root", W_OK) == 0 ? "/root" : state_home();
}

/* $VARIABLE/@below, or ~/@home_dir/@below. */
static int xdg_path(const char *variable, const char *home_dir, const char *below,
		    char path[static STATE_PATH_SIZE])
{
	const char *xdg = getenv(variable);
	int n = xdg && xdg[0] == '/'
			? snprintf(path, STATE_PATH_SIZE, "%s/%s", xdg, below)
			: snprintf(path, STATE_PATH_SIZE, "%s/%s/%s", own_home(), home_dir, below);
	return n < 0 || n >= STATE_PATH_SIZE ? -ENAMETOOLONG : 0;
}

/* A directory that is ours alone, made when missing. @what it is called. */
static int open_private(const char *path, const char *what, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		int r = make_path(path, err);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(err, errno, "cannot open the %s directory %s", what, path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot read the %s directory %s", what, path);
	if (st.st_uid != geteuid())
		return err_set(err, EPERM, "the %s directory %s belongs to uid %u, not to you",
			       what, path, st.st_uid);
	if (st.st_mode & 077)
		return err_set(err, EPERM, "others may enter the %s directory: chmod 0700 %s", what,
			       path);
	return take_fd(&fd);
}

int state_open(char path[static STATE_PATH_SIZE], struct err *err)
{
	if (xdg_path("XDG_STATE_HOME", ".local/state", "vsandbox", path) < 0)
		return err_set(err, ENAMETOOLONG, "the name of the state directory is too long");
	int fd = open_private(path, "state", err);
	/* the policy keeps ours from the agent, or a mount lies over it: no mode is to be mended */
	const char *mark = getenv("VSANDBOX");
	if (fd < 0 && mark && strcmp(mark, "1") == 0)
		return err_set(err, -fd,
			       "the state directory %s is out of reach inside a sandbox: run "
			       "vsandbox outside of it",
			       path);
	return fd;
}

int state_cache_path(char path[static STATE_PATH_SIZE])
{
	return xdg_path("XDG_CACHE_HOME", ".cache", "vsandbox/layers", path);
}

int state_cache_open(char path[static STATE_PATH_SIZE], struct err *err)
{
	if (state_cache_path(path) < 0)
		return err_set(err, ENAMETOOLONG, "the name of the cache is too long");
	return open_private(path, "cache", err);
}

int state_subdir(int dirfd, const char *name, struct err *err)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "cannot make the directory %s", name);
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the directory %s", name);
	return fd;
}

int state_write_file(int dirfd, const char *name, const char *text, size_t len, struct err *err)
{
	char aside[64];
	snprintf(aside, sizeof(aside), "%s.new", name);
	cleanup_fd int fd =
		openat(dirfd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot make %s", aside);
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot write %s", aside);
		text += n;
		len -= (size_t)n;
	}
	if (renameat(dirfd, aside, dirfd, name) < 0)
		return err_sys(err, errno, "cannot rename %s", aside);
	return 0;
}

int state_config_path(char path[static STATE_PATH_SIZE], struct err *err)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	int n = xdg && xdg[0] == '/'
			? snprintf(path, STATE_PATH_SIZE, "%s/vsandbox", xdg)
			: snprintf(path, STATE_PATH_SIZE, "%s/.config/vsandbox", state_home());
	if (n < 0 || n >= STATE_PATH_SIZE)
		return err_set(err, ENAMETOOLONG,
			       "the name of the configuration directory is too long");
	return 0;
}

int state_config_open(char path[static STATE_PATH_SIZE], struct err *err)
{
	int r = state_config_path(path, err);
	if (r == 0)
		r = make_path(path, err);
	if (r < 0)
		return r;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "cannot open the directory %s", path) : fd;
}

const char *const *state_policy_dirs(void)
{
	static char config[STATE_PATH_SIZE + 16], tree[STATE_PATH_SIZE];
	static const char *dirs[4];
	unsigned count = 0;
	if (state_config_path(config, NULL) == 0) {
		strcat(config, "/policies");
		dirs[count++] = config;
	}
	/* Run from build/MODE: the policies of the same tree, not those of some other version. */
	ssize_t len = readlink("/proc/self/exe", tree, sizeof(tree) - 32);
	if (len > 0) {
		tree[len] = 0;
		char *slash = strrchr(tree, '/');
		if (slash) {
			*slash = 0;
			char *mode = strrchr(tree, '/');
			char *build = mode ? memrchr(tree, '/', (size_t)(mode - tree)) : NULL;
			if (build && !strncmp(build, "/build/", 7)) {
				strcpy(build, "/policies");
				if (access(tree, X_OK) == 0)
					dirs[count++] = tree;
			}
		}
	}
	dirs[count++] = VSANDBOX_DATADIR "/policies";
	dirs[count] = NULL;
	return dirs;
}
