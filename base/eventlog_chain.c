#include "base/eventlog_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/eventlog.h"
#include "base/scope.h"

static const char hash_member[] = ",\"hash\":\"";
enum { TAIL_SIZE = sizeof(hash_member) - 1 + HASH_HEX - 1 + 2 };

const char *eventlog_line_hash(const char *line, size_t len, char ret[static HASH_HEX])
{
	if (len < TAIL_SIZE)
		return NULL;
	const char *at = line + len - TAIL_SIZE;
	if (memcmp(at, hash_member, sizeof(hash_member) - 1) != 0 ||
	    memcmp(line + len - 2, "\"}", 2) != 0)
		return NULL;
	memcpy(ret, at + sizeof(hash_member) - 1, HASH_HEX - 1);
	ret[HASH_HEX - 1] = '\0';
	return strspn(ret, "0123456789abcdef") == HASH_HEX - 1 ? at : NULL;
}

static int open_log(int dirfd)
{
	int fd = openat(dirfd, EVENTLOG_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* One line without its newline; @prev is the hash before and becomes this one's. */
static bool verify_line(const char *line, size_t len, char prev[static HASH_HEX])
{
	char hash[HASH_HEX], said[HASH_HEX];
	char expected[sizeof(",\"prev\":\"\"") + HASH_HEX];
	struct buf b;

	const char *member = eventlog_line_hash(line, len, said);
	if (!member)
		return false;
	size_t hashed = (size_t)(member - line);
	buf_init(&b, expected, sizeof(expected));
	buf_printf(&b, ",\"prev\":\"%s\"", prev);
	if (hashed < b.len || memcmp(member - b.len, expected, b.len) != 0)
		return false;
	hash_hex(line, hashed, hash);
	if (strcmp(hash, said) != 0)
		return false;
	memcpy(prev, hash, sizeof(hash));
	return true;
}

int eventlog_verify(int dirfd, uint64_t *ret_events, struct err *err)
{
	cleanup_fd int fd = open_log(dirfd);
	if (fd < 0)
		return err_sys(err, -fd, "cannot open %s", EVENTLOG_FILE);
	cleanup_file FILE *f = fdopen(fd, "re");
	if (!f)
		return err_sys(err, errno, "cannot read %s", EVENTLOG_FILE);
	take_fd(&fd);
	cleanup_free char *line = malloc(EVENT_JSON_MAX + 2);
	if (!line)
		return err_sys(err, ENOMEM, "cannot read %s", EVENTLOG_FILE);

	char prev[HASH_HEX] = "";
	uint64_t count = 0;
	size_t len = 0;
	for (int c = getc_unlocked(f); c != EOF; c = getc_unlocked(f)) {
		if (c != '\n') {
			if (len > EVENT_JSON_MAX)
				break;
			line[len++] = (char)c;
			continue;
		}
		if (!verify_line(line, len, prev))
			break;
		count++;
		len = 0;
	}
	if (ferror(f))
		return err_sys(err, EIO, "cannot read %s", EVENTLOG_FILE);
	if (len > 0 || !feof(f))
		return err_set(err, EBADMSG, "line %llu of %s is not what was written",
			       (unsigned long long)count + 1, EVENTLOG_FILE);
	*ret_events = count;
	return 0;
}

int eventlog_tip(int dirfd, char ret[static HASH_HEX], struct err *err)
{
	char tail[TAIL_SIZE + 1];
	struct stat st;
	cleanup_fd int fd = open_log(dirfd);
	if (fd < 0)
		return err_sys(err, -fd, "cannot open %s", EVENTLOG_FILE);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot read %s", EVENTLOG_FILE);
	if (st.st_size == 0)
		return err_set(err, ENODATA, "%s is empty", EVENTLOG_FILE);
	ssize_t n = st.st_size < (off_t)sizeof(tail)
			    ? 0
			    : pread(fd, tail, sizeof(tail), st.st_size - (off_t)sizeof(tail));
	if (n != (ssize_t)sizeof(tail) || tail[TAIL_SIZE] != '\n' ||
	    !eventlog_line_hash(tail, TAIL_SIZE, ret))
		return err_set(err, EBADMSG, "the last line of %s is not whole", EVENTLOG_FILE);
	return 0;
}

int eventlog_holds(int dirfd, const char *hash, struct err *err)
{
	cleanup_fd int fd = open_log(dirfd);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	if (!f)
		return err_sys(err, fd < 0 ? -fd : ENOMEM, "cannot open %s", EVENTLOG_FILE);
	take_fd(&fd);
	cleanup_free char *line = NULL;
	size_t size = 0;
	ssize_t n;
	char found[HASH_HEX];
	while ((n = getline(&line, &size, f)) > 0)
		if (line[n - 1] == '\n' && eventlog_line_hash(line, (size_t)n - 1, found) &&
		    strcmp(found, hash) == 0)
			return 1;
	return ferror(f) ? err_sys(err, EIO, "cannot read %s", EVENTLOG_FILE) : 0;
}
