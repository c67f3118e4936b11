#include "launcher/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

enum { CHAIN_MAX = 5, LINE_SIZE = 256 }; /* as the kernel: fs/binfmt_script.c */

bool program_find(const char *command, char path[static PATH_MAX])
{
	if (strchr(command, '/'))
		return realpath(command, path) != NULL;
	const char *dirs = getenv("PATH");
	for (const char *at = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *at;) {
		size_t len = strcspn(at, ":");
		char candidate[PATH_MAX];
		int n = snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)len, len ? at : ".",
				 command);
		if (n > 0 && n < PATH_MAX && access(candidate, X_OK) == 0)
			return realpath(candidate, path) != NULL;
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

int program_allow(struct policy *p, const char *command, struct err *err)
{
	char path[PATH_MAX], line[LINE_SIZE], name[LINE_SIZE];
	const char *next = command;
	for (unsigned level = 0; level < CHAIN_MAX && program_find(next, path); level++) {
		char *save, *word;
		int r = policy_apply_flag(p, POLICY_FLAG_SPAWN_ALLOWED, path, err);
		if (r < 0 || !shebang(path, line, &save, &word))
			return r;
		const char *base = strrchr(word, '/');
		if (strcmp(base ? base + 1 : word, "env") == 0) {
			if (program_find(word, path))
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
