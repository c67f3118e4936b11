/*
 * A program of root's that gives up its ids, and then asks the monitor, which has not, for what has become closed to
 * it. Natively the kernel refuses all of this as well; inside the monitor walks and acts, and must do it as the caller.
 */
#include "attack.h"

#include <grp.h>
#include <linux/openat2.h>
#include <poll.h>

enum { NOBODY = 1000, WAIT_MS = 3000 };

/* closed/ is root's alone; what lies below it is open to all. */
static int make_closed(void)
{
	int fd;

	umask(0);
	if (mkdir("closed", 0700) != 0 || mkdir("closed/in", 0777) != 0)
		return -1;
	fd = open("closed/in/key", O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (fd < 0 || symlink("closed/in/key", "link") != 0 ||
	    write(fd, SECRET, strlen(SECRET)) < 0)
		return -1;
	close(fd);
	/* a walk by root, which the monitor may remember */
	for (int i = 0; i < 3; i++) {
		fd = open("closed/in/key", O_RDONLY);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static int (*attempt)(void);

static int as_nobody(void)
{
	if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) != 0)
		return skip("cannot become another user");
	return attempt();
}

static int try_closed(int (*body)(void))
{
	if (geteuid() != 0) {
		errno = EPERM;
		return skip("only root can become another user");
	}
	if (make_closed() != 0)
		return skip("set-up");
	attempt = body;
	return in_child(as_nobody);
}

static int read_closed(void)
{
	return reads_secret(open("closed/in/key", O_RDONLY));
}

static int read_absolute(void)
{
	char path[4096];

	if (!getcwd(path, sizeof(path) - sizeof("/closed/in/key")))
		return skip("getcwd");
	strcat(path, "/closed/in/key");
	return reads_secret(open(path, O_RDONLY));
}

static int read_limited(void)
{
	struct open_how how = { .resolve = RESOLVE_BENEATH };

	return reads_secret(
		(int)syscall(SYS_openat2, AT_FDCWD, "closed/in/key", &how, sizeof(how)));
}

static int read_linked(void)
{
	return reads_secret(open("link", O_RDONLY));
}

static int write_closed(void)
{
	return verdict(open("closed/in/key", O_WRONLY) >= 0);
}

static int create_closed(void)
{
	return verdict(open("closed/in/new", O_WRONLY | O_CREAT, 0600) >= 0);
}

static int unlink_closed(void)
{
	return verdict(unlink("closed/in/key") == 0);
}

static int rename_closed(void)
{
	return verdict(rename("closed/in/key", "closed/in/other") == 0);
}

static int link_closed(void)
{
	return verdict(link("closed/in/key", "closed/in/other") == 0);
}

static int mkdir_closed(void)
{
	return verdict(mkdir("closed/in/new", 0700) == 0);
}

static int truncate_closed(void)
{
	return verdict(truncate("closed/in/key", 0) == 0);
}

/* Is there such a name? To whoever may not look, both are the same. */
static int ask_closed(void)
{
	int there = unlink("closed/in/key/") == 0 ? 0 : errno;
	int missing = unlink("closed/in/none/") == 0 ? 0 : errno;

	errno = there;
	return verdict(there != missing);
}

#define CLOSED(name) \
	static int name##_directory(void) \
	{ \
		return try_closed(name##_closed); \
	}
CLOSED(read)
CLOSED(write)
CLOSED(create)
CLOSED(unlink)
CLOSED(rename)
CLOSED(link)
CLOSED(mkdir)
CLOSED(truncate)
CLOSED(ask)

static int absolute_directory(void)
{
	return try_closed(read_absolute);
}

static int limited_directory(void)
{
	return try_closed(read_limited);
}

static int linked_directory(void)
{
	return try_closed(read_linked);
}

/* A FIFO of root's: the open that waits for its peer is made by another thread of the monitor. */
static int read_fifo(void)
{
	int fd = open("pipe", O_RDONLY);
	char text[32] = "";

	if (fd < 0)
		return verdict(false);
	return verdict(read(fd, text, sizeof(text) - 1) > 0);
}

static int fifo_waiting(void)
{
	int fd, result;
	pid_t writer;

	if (geteuid() != 0) {
		errno = EPERM;
		return skip("only root can become another user");
	}
	umask(0);
	if (mkfifo("pipe", 0600) != 0)
		return skip("mkfifo");
	writer = fork();
	if (writer == 0) {
		for (int i = 0; i < WAIT_MS / 10; i++) {
			poll(NULL, 0, 10);
			fd = open("pipe", O_WRONLY | O_NONBLOCK);
			if (fd >= 0)
				_exit(write(fd, SECRET, strlen(SECRET)) < 0);
		}
		_exit(1);
	}
	attempt = read_fifo;
	result = in_child(as_nobody);
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	return result;
}

const struct attack attacks[] = {
	{ "read_directory", read_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "absolute_directory", absolute_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "limited_directory", limited_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "linked_directory", linked_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "write_directory", write_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "create_directory", create_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "unlink_directory", unlink_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "rename_directory", rename_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "link_directory", link_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "mkdir_directory", mkdir_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "truncate_directory", truncate_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "ask_directory", ask_directory, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "fifo_waiting", fifo_waiting, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ 0 },
};
