/* Where a log stands: the hash that ends its last line. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/eventlog.h"
#include "base/scope.h"

/* A line ends in ,"hash":"<64 digits>"}. */
static const char member[] = ",\"hash\":\"";
enum { TAIL_SIZE = sizeof(member) - 1 + EVENTLOG_HASH_SIZE - 1 + 2 };

/* The hash at the end of @line (no newline); false when it does not end in one. */
static bool hash_of(const char *line, size_t len, char ret[static EVENTLOG_HASH_SIZE])
{
	if (len < TAIL_SIZE)
		return false;
	const char *at = line + len - TAIL_SIZE;
	const char *digits = at + sizeof(member) - 1;
	if (memcmp(at, member, sizeof(member) - 1) != 0 || memcmp(line + len - 2, "\"}", 2) != 0)
		return false;
	memcpy(ret, digits, EVENTLOG_HASH_SIZE - 1);
	ret[EVENTLOG_HASH_SIZE - 1] = '\0';
	return strspn(ret, "0123456789abcdef") == EVENTLOG_HASH_SIZE - 1;
}

static int open_log(int dirfd)
{
	int fd = openat(dirfd, "events.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int eventlog_tip(int dirfd, char ret[static EVENTLOG_HASH_SIZE], struct err *err)
{
	char tail[TAIL_SIZE + 1];
	struct stat st;
	cleanup_fd int fd = open_log(dirfd);
	if (fd < 0)
		return err_sys(err, -fd, "cannot open events.jsonl");
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot read events.jsonl");
	if (st.st_size == 0)
		return err_set(err, ENODATA, "events.jsonl is empty");
	ssize_t n = st.st_size < (off_t)sizeof(tail)
			    ? 0
			    : pread(fd, tail, sizeof(tail), st.st_size - (off_t)sizeof(tail));
	if (n != (ssize_t)sizeof(tail) || tail[TAIL_SIZE] != '\n' || !hash_of(tail, TAIL_SIZE, ret))
		return err_set(err, EBADMSG, "the last line of events.jsonl is not whole");
	return 0;
}

int eventlog_holds(int dirfd, const char *hash, struct err *err)
{
	cleanup_fd int fd = open_log(dirfd);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	cleanup_free char *line = NULL;
	size_t size = 0;
	ssize_t n;
	char found[EVENTLOG_HASH_SIZE];
	if (!f)
		return err_sys(err, fd < 0 ? -fd : ENOMEM, "cannot open events.jsonl");
	take_fd(&fd);
	while ((n = getline(&line, &size, f)) > 0)
		if (line[n - 1] == '\n' && hash_of(line, (size_t)n - 1, found) &&
		    strcmp(found, hash) == 0)
			return 1;
	return ferror(f) ? err_sys(err, EIO, "cannot read events.jsonl") : 0;
}
