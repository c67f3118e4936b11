/*
 * Exchanges a directory and a symbolic link, over and over, until it is told to stop (SIGTERM); leaves
 * the directory under its own name and prints how often it did.
 *
 *   flip DIRECTORY LINK
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_term(int signum)
{
	(void)signum;
	stop = 1;
}

int main(int argc, char **argv)
{
	unsigned long flips = 0;
	signal(SIGTERM, on_term);
	if (argc != 3)
		return 2;
	puts("ready");
	fflush(stdout);
	while (!stop || flips % 2) {
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0) {
			perror("flip");
			return 1;
		}
		/* uneven: long enough for some walks to pass, short enough to hit the middle of others */
		if (++flips % 20 == 0)
			usleep((unsigned)(flips % 13) * 5000);
	}
	printf("%lu\n", flips);
	return 0;
}
