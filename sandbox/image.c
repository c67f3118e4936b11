#include "sandbox/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

static const char line_break[] = "\\012"; /* as a map shows it */

/* The program's own name as a map shows it. 0, -errno. */
static int read_program(int proc_dir, char *ret, size_t size)
{
	char exe[PATH_MAX];
	ssize_t len = readlinkat(proc_dir, "exe", exe, sizeof(exe));
	if (len < 0)
		return -errno;
	size_t used = 0;
	for (ssize_t i = 0; i < len; i++) {
		if (used + sizeof(line_break) > size)
			return -ENAMETOOLONG;
		if (exe[i] == '\n')
			used += (size_t)sprintf(ret + used, "%s", line_break);
		else
			ret[used++] = exe[i];
	}
	ret[used] = '\0';
	return 0;
}

/* The file of a line of maps, cut to its name; NULL: memory of another kind. proc_pid_maps(5). */
static char *file_of(char *line)
{
	unsigned long long inode;
	int name = 0;
	if (sscanf(line, "%*s %*s %*s %*s %llu %n", &inode, &name) != 1 || inode == 0 || !name)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return line + name;
}

static void cut_mark(char *path)
{
	static const char gone[] = " (deleted)";
	size_t len = strlen(path), tail = sizeof(gone) - 1;
	if (len > tail && strcmp(path + len - tail, gone) == 0)
		path[len - tail] = '\0';
}

int image_loader(int proc_dir, char *path, size_t size)
{
	char program[PATH_MAX + 256];
	cleanup_free char *line = NULL;
	size_t room = 0;
	int r = read_program(proc_dir, program, sizeof(program));
	if (r < 0)
		return r;
	cleanup_fd int fd = openat(proc_dir, "maps", O_RDONLY | O_CLOEXEC);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return -errno;
	take_fd(&fd);
	*path = '\0';
	errno = 0;
	while (getline(&line, &room, f) > 0) {
		const char *file = file_of(line);
		if (!file || strcmp(file, program) == 0 || strcmp(file, path) == 0)
			continue;
		if (*path || strstr(file, line_break))
			return -EMEDIUMTYPE;
		if (strlen(file) >= size)
			return -ENAMETOOLONG;
		strcpy(path, file);
	}
	if (ferror(f))
		return -EIO;
	r = *path != '\0';
	cut_mark(path);
	return r;
}
