/*
 * Changes the current directory at random, one call a step, and tells what it is
 * before each. Reads commands, answers on stdout:
 *
 *	run N     N steps; before each "step ACTIONS CALL" and the tree, then "."
 *	tree      the tree, then "."
 *
 * ACTIONS: how many calls have changed something so far, which is what a rollback counts.
 */
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fingerprint.h"

static uint64_t state;
static unsigned long actions;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % n;
}

static char *name(char *buf)
{
	static const char *const dirs[] = { "",       "",       "d0/",    "d1/", "d2/",
					    "d0/e0/", "d0/e1/", "d1/e0/", "d3/" };
	static const char *const leaves[] = {
		"f0", "f1", "f2", "f3", "f4", "f5", "e0", "e1", "g0"
	};
	if (pick(12) == 0)
		sprintf(buf, "d%u", pick(4));
	else
		sprintf(buf, "%s%s", dirs[pick(9)], leaves[pick(9)]);
	return buf;
}

static void fill(int fd, size_t len)
{
	static char bytes[4096];
	for (size_t i = 0; i < sizeof(bytes); i += 8)
		memcpy(bytes + i, &(uint64_t){ state * (i + 1) }, 8);
	while (len > 0) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);
		if (write(fd, bytes, n) < 0)
			return;
		len -= n;
	}
}

static size_t length(void)
{
	switch (pick(10)) {
	case 0:
		return 0;
	case 1:
		return 65536 + pick(300000);
	case 2:
		return 65530 + pick(12);
	default:
		return pick(5000);
	}
}

static int written(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
	if (fd < 0)
		return -1;
	struct stat st;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd); /* a FIFO: nothing was changed */
		return -1;
	}
	if ((flags & O_ACCMODE) == O_RDWR && st.st_size > 100) {
		if (pick(3) == 0) {
			char *map = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			if (map != MAP_FAILED) {
				map[pick(100)] ^= 1;
				munmap(map, 100);
			}
		} else {
			lseek(fd, pick((unsigned)st.st_size), SEEK_SET);
			fill(fd, pick(2000));
		}
	} else if (pick(8) != 0) {
		fill(fd, length());
	}
	/* of an append only the length is kept: see docs/decisions/journal.md */
	if (pick(10) == 0 && !(flags & O_APPEND))
		ftruncate(fd, (off_t)length());
	close(fd);
	return 0;
}

/* Renaming one name of a file to another of its names succeeds and does nothing. */
static int moved(const char *a, const char *b, unsigned flags)
{
	struct stat x, y;
	int same = lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_ino == y.st_ino &&
		   x.st_dev == y.st_dev;
	int r = (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
	return r == 0 && same ? -1 : r;
}

static int nameless(const char *path)
{
	char link[64];
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);
	if (fd < 0)
		return -1;
	fill(fd, length());
	sprintf(link, "/proc/self/fd/%d", fd);
	int r = linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
	close(fd);
	return r;
}

/* Through a descriptor that only reads. */
static int by_reader(const char *path, const struct timespec times[2])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r = -1;
	if (fd < 0)
		return -1;
	switch (pick(5)) {
	case 0:
		r = fstat(fd, &st) ? -1 : fchmod(fd, st.st_mode ^ 0001);
		break;
	case 1:
		r = fchown(fd, getuid() ? getuid() : pick(4), getuid() ? getgid() : pick(4));
		break;
	case 2:
		r = futimens(fd, times);
		break;
	case 3:
		r = fsetxattr(fd, "user.a", "by descriptor", pick(13), 0);
		break;
	default:
		r = fremovexattr(fd, "user.a");
		break;
	}
	close(fd);
	return r;
}

static const mode_t file_modes[] = { 0644, 0600, 0755, 0444, 0640, 0664, 04755, 02755 };

/* One call of this kind, to an object's attributes. */
static int change_attribute(unsigned kind, const char *a, const struct timespec times[2])
{
	char value[300];
	int r = -1;

	switch (kind) {
	case 22: {
		struct stat st;
		int dir = stat(a, &st) == 0 && S_ISDIR(st.st_mode);
		r = chmod(a, dir ? (pick(2) ? 0755 : 0711) | 0400 : file_modes[pick(8)]);
		break;
	}
	case 23:
		r = lchown(a, getuid() ? getuid() : pick(4), getuid() ? getgid() : pick(4));
		break;
	case 24:
		r = utimensat(AT_FDCWD, a, times, AT_SYMLINK_NOFOLLOW);
		break;
	case 25:
		memset(value, 'a' + (int)pick(26), sizeof(value));
		r = pick(4) ? lsetxattr(a, pick(2) ? "user.a" : "user.b", value, pick(300), 0)
			    : lremovexattr(a, pick(2) ? "user.a" : "user.b");
		break;
	}
	return r;
}

/* One call of this kind. */
static int change(unsigned kind, const char *a, const char *b, const struct timespec times[2])
{
	int r = -1;

	switch (kind) {
	case 0:
	case 1:
	case 2:
		r = written(a, O_CREAT | O_EXCL | O_WRONLY, file_modes[pick(6)]);
		break;
	case 3:
	case 4:
		r = written(a, O_CREAT | O_TRUNC | O_WRONLY, 0644);
		break;
	case 5:
	case 6:
		r = written(a, O_RDWR, 0);
		break;
	case 7:
		r = written(a, O_WRONLY | O_APPEND, 0);
		break;
	case 8:
		r = truncate(a, pick(6) == 0 ? 3000000 : (off_t)length());
		break;
	case 9:
	case 10:
		r = unlink(a);
		break;
	case 11:
		r = rmdir(a);
		break;
	case 12:
		r = mkdir(a, pick(2) ? 0755 : 0700);
		break;
	case 13:
		r = mkfifo(a, 0600);
		break;
	case 14:
		r = symlink(b, a);
		break;
	case 15:
	case 16:
		r = link(a, b);
		break;
	case 17:
	case 18:
	case 19:
		r = moved(a, b, 0);
		break;
	case 20:
		r = moved(a, b, RENAME_NOREPLACE);
		break;
	case 21:
		r = moved(a, b, RENAME_EXCHANGE);
		break;
	case 26:
		r = nameless(a);
		break;
	case 27:
		r = by_reader(a, times);
		break;
	default:
		r = change_attribute(kind, a, times);
		break;
	}
	return r;
}

static const char *mutate(void)
{
	static char said[400];
	char a[100], b[100];
	unsigned kind = pick(28);
	struct timespec times[2] = { { pick(2000000000), pick(1000000000) },
				     { pick(2000000000), pick(1000000000) } };
	name(a);
	name(b);
	int r = change(kind, a, b, times);
	sprintf(said, "%u %s %s = %d", kind, a, b, r);
	if (r == 0)
		actions++;
	return said;
}

int main(int argc, char **argv)
{
	char line[100];
	umask(022);
	state = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 1;
	setvbuf(stdout, NULL, _IOFBF, 1 << 20);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned n = 0;
		if (sscanf(line, "run %u", &n) == 1) {
			for (; n > 0; n--) {
				printf("step %lu ", actions);
				/* the tree as it is now, then what is done to it */
				char *tree = NULL;
				size_t len = 0;
				FILE *f = open_memstream(&tree, &len);
				fingerprint_tree(f, AT_FDCWD, ".");
				fclose(f);
				printf("%s\n%s.\n", mutate(), tree);
				free(tree);
			}
		}
		printf("step %lu now\n", actions);
		fingerprint_tree(stdout, AT_FDCWD, ".");
		fputs(".\nend\n", stdout);
		fflush(stdout);
	}
	return 0;
}
