/*
 * `timed OUT COMMAND...` runs the command once, its output in OUT, and prints the
 * microseconds from spawn to reaped. With --exit, from the time that the command
 * printed (see `ops now`) to reaped. Exit status 1 when the command failed.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	int from_exit = argc > 1 && !strcmp(argv[1], "--exit"), status;
	posix_spawn_file_actions_t fa;
	double start, end;
	pid_t pid;

	argv += from_exit;
	argc -= from_exit;
	if (argc < 3)
		return 2;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	start = now_us();
	if (posix_spawnp(&pid, argv[2], &fa, NULL, argv + 2, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid)
		return 2;
	end = now_us();
	if (from_exit) {
		char text[64] = "";
		int fd = open(argv[1], O_RDONLY);

		if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
			return 1;
		start = strtod(text, NULL);
	}
	printf("%.1f\n", end - start);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
