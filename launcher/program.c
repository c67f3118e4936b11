#include "launcher/program.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { CHAIN_MAX = 5, LINE_SIZE = 256 }; /* as the kernel: fs/binfmt_script.c */

static const char default_dirs[] = "/usr/local/bin:/usr/bin:/bin"; /* execvp(3), without a PATH */

/* Where programs are looked for. */
struct search {
	const char *root; /* host directory that is `/` inside; "" the host's own */
	const char *dirs; /* PATH */
};

/* The canonical name inside of @name there; false when there is nothing. */
static bool resolve(const struct search *s, const char *name, char path[static PATH_MAX])
{
	char cwd[PATH_MAX], own[64], host[PATH_MAX];
	size_t len = strlen(s->root);
	/* the workspace is the host's in an image too */
	bool in_workspace = name[0] != '/' ||
			    (getcwd(cwd, sizeof(cwd)) && strncmp(name, cwd, strlen(cwd)) == 0 &&
			     name[strlen(cwd)] == '/');
	if (!len || in_workspace)
		return realpath(name, path) != NULL;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	cleanup_fd int root = open(s->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = root < 0 ? -1 : fd_openat2(root, name, &how);
	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	ssize_t n = fd < 0 ? -1 : readlink(own, host, sizeof(host) - 1);
	if (n <= (ssize_t)len || strncmp(host, s->root, len) != 0)
		return false;
	host[n] = '\0';
	snprintf(path, PATH_MAX, "%s", host + len);
	return true;
}

/* What the host calls a canonical name inside. */
static void host_name(const struct search *s, const char *path, char ret[static 2 * PATH_MAX])
{
	snprintf(ret, 2 * PATH_MAX, "%s%s", s->root, path);
	if (*s->root && access(ret, F_OK) < 0)
		snprintf(ret, 2 * PATH_MAX, "%s", path); /* of the workspace */
}

/* Full path of @command in PATH; false when there is none. */
static bool find(const struct search *s, const char *command, char path[static PATH_MAX])
{
	char host[2 * PATH_MAX];
	if (strchr(command, '/'))
		return resolve(s, command, path);
	for (const char *at = s->dirs; *at;) {
		size_t len = strcspn(at, ":");
		char candidate[PATH_MAX];
		int n = snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)len, len ? at : ".",
				 command);
		if (n > 0 && n < PATH_MAX && resolve(s, candidate, path)) {
			host_name(s, path, host);
			if (access(host, X_OK) == 0)
				return true;
		}
		at += len;
		at += *at == ':';
	}
	return false;
}

/* The words of a script's #! line, NUL-terminated in @line; false for anything else. */
static bool shebang(const char *path, char line[static LINE_SIZE], char **ret_save,
		    char **ret_interpreter)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, line, LINE_SIZE - 1);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	*ret_interpreter = strtok_r(line + 2, " \t", ret_save);
	return *ret_interpreter != NULL;
}

/* What `env [-S] [NAME=VALUE…] PROGRAM` runs; NULL nothing. */
static char *env_target(char **save)
{
	char *word;
	do
		word = strtok_r(NULL, " \t", save);
	while (word && (*word == '-' || strchr(word, '=')));
	return word;
}

bool program_find(const char *command, char path[static PATH_MAX])
{
	const char *dirs = getenv("PATH");
	const struct search s = { .root = "", .dirs = dirs ? dirs : default_dirs };
	return find(&s, command, path);
}

int program_allow(struct policy *p, const char *command, const char *root, const char *dirs,
		  struct err *err)
{
	const struct search s = { .root = root, .dirs = dirs ? dirs : default_dirs };
	char host[2 * PATH_MAX];
	char path[PATH_MAX], line[LINE_SIZE], name[LINE_SIZE];
	const char *next = command;
	for (unsigned level = 0; level < CHAIN_MAX && find(&s, next, path); level++) {
		char *save, *word;
		int r = policy_apply_flag(p, POLICY_FLAG_SPAWN_ALLOWED, path, err);
		host_name(&s, path, host);
		if (r < 0 || !shebang(host, line, &save, &word))
			return r;
		const char *base = strrchr(word, '/');
		if (strcmp(base ? base + 1 : word, "env") == 0) {
			if (find(&s, word, path))
				r = policy_apply_flag(p, POLICY_FLAG_SPAWN_ALLOWED, path, err);
			word = env_target(&save);
			if (r < 0 || !word)
				return r;
		}
		snprintf(name, sizeof(name), "%s", word);
		next = name;
	}
	return 0;
}
