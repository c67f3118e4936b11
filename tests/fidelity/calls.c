/*
 * Performs a long list of file calls in the current (empty) directory and prints
 * what each answered. run.sh compares the transcript of a native run with that of
 * a run inside. Only what has to be equal is printed: results, errno names, modes,
 * link counts of files, sizes, contents; never inode numbers or times of day.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

/* One line: what was tried, its result, and errno when it failed. */
static long say(long result, const char *format, ...)
{
	int e = errno;
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	if (result < 0)
		printf(" = %s\n", strerrorname_np(e));
	else
		printf(" = %ld\n", result);
	fflush(stdout);
	return result;
}
#define TRY(call)  say((long)(call), "%s", #call)
#define SHUT(call) shut((int)say((long)(call), "%s", #call))

static void shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void section(const char *name)
{
	printf("\n[%s]\n", name);
}

static void look(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		say(-1, "look %s", path);
		return;
	}
	printf("look %s: mode %o uid %u gid %u", path, st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" links %lu size %ld", (unsigned long)st.st_nlink, (long)st.st_size);
	printf("\n");
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say(-1, "put %s", path);
	shut(fd);
}

static void get(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		say(-1, "get %s", path);
	else
		printf("get %s: %s\n", path, text);
	shut(fd);
}

static void opens(void)
{
	section("opens");
	put("file", "content");
	TRY(mkdir("dir", 0755));
	SHUT(open("file", O_RDONLY));
	SHUT(open("file", O_WRONLY));
	SHUT(open("file", O_RDWR));
	SHUT(open("file", O_ACCMODE));
	SHUT(open("file", O_RDWR | O_CREAT | O_EXCL, 0600));
	SHUT(open("new-excl", O_RDWR | O_CREAT | O_EXCL, 0600));
	SHUT(open("file", O_RDONLY | O_DIRECTORY));
	SHUT(open("dir", O_RDONLY | O_DIRECTORY));
	SHUT(open("dir", O_RDONLY));
	SHUT(open("dir", O_WRONLY));
	SHUT(open("dir", O_RDWR | O_CREAT, 0600));
	SHUT(open("dir", O_RDONLY | O_CREAT, 0600));
	SHUT(open("dir", O_RDONLY | O_TRUNC));
	SHUT(open("dir", O_DIRECTORY | O_CREAT, 0600));
	SHUT(open("absent", O_RDONLY));
	SHUT(open("absent/x", O_RDONLY));
	SHUT(open("absent/x", O_WRONLY | O_CREAT, 0600));
	SHUT(open("file/x", O_RDONLY));
	SHUT(open("file/x", O_WRONLY | O_CREAT, 0600));
	SHUT(open("file/", O_RDONLY));
	SHUT(open("file/", O_WRONLY));
	SHUT(open("file/.", O_RDONLY));
	SHUT(open("file/..", O_RDONLY));
	SHUT(open("dir/", O_RDONLY));
	SHUT(open("dir/.", O_RDONLY));
	SHUT(open("dir/..", O_RDONLY));
	SHUT(open("newfile/", O_WRONLY | O_CREAT, 0600));
	SHUT(open("dir/./../dir//..///file", O_RDONLY));
	SHUT(open("", O_RDONLY));
	SHUT(open("", O_WRONLY | O_CREAT, 0600));
	SHUT(open(".", O_RDONLY));
	SHUT(open("..", O_RDONLY));
	SHUT(open(".", O_WRONLY));
	SHUT(open("/", O_WRONLY));
	SHUT(open("/", O_RDONLY | O_CREAT, 0600));
	SHUT(open("//", O_RDONLY));
	SHUT(open("file", O_RDONLY | O_PATH));
	SHUT(open("file", O_WRONLY | O_PATH));
	SHUT(open("file", O_RDONLY | O_NONBLOCK));
	SHUT(open("file", O_RDONLY | O_NOATIME));
	SHUT(open("file", O_RDONLY | O_NOCTTY | O_CLOEXEC));
	SHUT(open("file", O_RDWR | O_SYNC));
	SHUT(open("file", O_RDWR | O_DSYNC | O_APPEND));
	SHUT(open("file", O_RDWR | 0x80000000));
	SHUT(creat("created", 0640));
	SHUT(creat("created", 0400));
	SHUT(creat("dir", 0640));
	look("created");
	put("file", "content");
	SHUT(open("file", O_RDONLY | O_TRUNC));
	look("file");
	SHUT(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY));
	SHUT(syscall(SYS_openat, AT_FDCWD, (char *)8, O_WRONLY));
	SHUT(syscall(SYS_openat, AT_FDCWD, (char *)-1L, O_WRONLY | O_CREAT, 0600));
	SHUT(syscall(SYS_openat, 12345, "file", O_RDONLY));
	SHUT(syscall(SYS_openat, -1, "file", O_WRONLY));
	SHUT(syscall(SYS_openat, -7, "/dev/null", O_WRONLY));
	SHUT(open("/nonexistent-root-name", O_RDONLY));
}

static void flags_of(const char *what, int fd)
{
	if (fd < 0) {
		say(fd, "%s", what);
		return;
	}
	printf("%s: fd %d fl %o cloexec %d\n", what, fd, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	close(fd);
}
#define FLAGS(call) flags_of(#call, call)

static void descriptors(void)
{
	int a, b;

	section("descriptors: number, status flags, close-on-exec");
	put("file", "content");
	FLAGS(open("file", O_RDONLY));
	FLAGS(open("file", O_RDONLY | O_CLOEXEC));
	FLAGS(open("file", O_RDWR | O_APPEND | O_NONBLOCK));
	FLAGS(open("file", O_WRONLY | O_SYNC | O_CLOEXEC));
	FLAGS(open("file", O_RDONLY | O_NOATIME));
	FLAGS(open(".", O_RDONLY | O_DIRECTORY));
	FLAGS(open("file", O_PATH));
	FLAGS(open(".", O_TMPFILE | O_RDWR, 0600));
	FLAGS(open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
	FLAGS(open("/dev/null", O_RDWR));
	a = open("file", O_RDONLY);
	b = open("file", O_RDONLY);
	printf("two more: %d %d\n", a, b);
	close(a);
	FLAGS(open("file", O_WRONLY)); /* the lowest number is taken */
	close(b);
	a = open("file", O_WRONLY | O_APPEND);
	TRY(write(a, "++", 2));
	TRY(lseek(a, 0, SEEK_CUR));
	close(a);
	get("file");
}

static void too_many(void)
{
	struct rlimit old, few;
	int fds[64], n = 0;

	section("EMFILE");
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 64 && (fds[n] = open("file", n & 1 ? O_RDONLY : O_WRONLY)) >= 0)
		n++;
	say(-1, "after %d more", n);
	SHUT(open("made-at-limit", O_WRONLY | O_CREAT | O_EXCL, 0600));
	look("made-at-limit");
	while (n)
		close(fds[--n]);
	few.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &few);
	SHUT(open("file", O_RDONLY));
	setrlimit(RLIMIT_NOFILE, &old);
	SHUT(open("file", O_RDONLY));
}

static void modes(void)
{
	static const mode_t masks[] = { 0, 022, 027, 077, 0777, 0111 };
	static const mode_t wanted[] = { 0777, 0666, 0600, 07777, 0, 0123 };
	char name[64];
	mode_t old = umask(0);

	section("modes under each umask");
	for (size_t m = 0; m < 6; m++) {
		umask(masks[m]);
		for (size_t w = 0; w < 6; w++) {
			snprintf(name, sizeof(name), "m%03o-%04o", masks[m], wanted[w]);
			shut(open(name, O_WRONLY | O_CREAT | O_EXCL, wanted[w]));
			look(name);
			unlink(name);
			mkdir(name, wanted[w]);
			look(name);
			rmdir(name);
			mknod(name, S_IFIFO | wanted[w], 0);
			look(name);
			unlink(name);
		}
	}
	umask(022);
	TRY(mkdir("sgid", 0755));
	TRY(chmod("sgid", 02775));
	look("sgid");
	TRY(mkdir("sgid/child", 0755));
	look("sgid/child");
	shut(open("sgid/file", O_WRONLY | O_CREAT, 0666));
	look("sgid/file");
	TRY(mkdir("sticky", 01777));
	look("sticky");
	shut(open("suid", O_WRONLY | O_CREAT, 04755));
	look("suid");
	TRY(chmod("suid", 06755));
	look("suid");
	TRY(chown("suid", getuid(), getgid()));
	look("suid");
	shut(open("noperm", O_WRONLY | O_CREAT | O_EXCL, 0));
	SHUT(open("noperm", O_RDONLY));
	SHUT(open("noperm", O_WRONLY));
	int fd = (int)TRY(open("rdonly-but-writing", O_RDWR | O_CREAT | O_EXCL, 0400));
	TRY(write(fd, "x", 1));
	shut(fd);
	umask(old);
}

static void *umask_thread(void *arg)
{
	(void)arg;
	if (unshare(CLONE_FS) != 0)
		say(-1, "unshare(CLONE_FS)");
	umask(0);
	shut(open("by-thread-umask-0", O_WRONLY | O_CREAT, 0666));
	if (chdir("dir") == 0)
		shut(open("in-thread-cwd", O_WRONLY | O_CREAT, 0666));
	return NULL;
}

static void threads(void)
{
	pthread_t t;

	section("umask and cwd belong to the thread that unshared them");
	umask(077);
	if (pthread_create(&t, NULL, umask_thread, NULL) == 0)
		pthread_join(t, NULL);
	shut(open("by-leader-umask-77", O_WRONLY | O_CREAT, 0666));
	look("by-thread-umask-0");
	look("dir/in-thread-cwd");
	look("by-leader-umask-77");
	umask(022);
}

static void temporary(void)
{
	char path[64];
	int fd;

	section("O_TMPFILE and deleted files");
	fd = (int)TRY(open(".", O_TMPFILE | O_RDWR, 0640));
	TRY(write(fd, "tmp", 3));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	TRY(linkat(AT_FDCWD, path, AT_FDCWD, "from-tmp", AT_SYMLINK_FOLLOW));
	look("from-tmp");
	shut(fd);
	fd = (int)TRY(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	TRY(linkat(AT_FDCWD, path, AT_FDCWD, "from-excl", AT_SYMLINK_FOLLOW));
	shut(fd);
	SHUT(open("file", O_TMPFILE | O_RDWR, 0600));
	SHUT(open(".", O_TMPFILE | O_RDONLY, 0600));
	put("gone", "still here");
	fd = open("gone", O_RDWR);
	TRY(unlink("gone"));
	SHUT(open("gone", O_RDONLY));
	struct stat st;
	TRY(fstat(fd, &st));
	printf("links %lu\n", (unsigned long)st.st_nlink);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	get(path);
	SHUT(open(path, O_RDWR));
	TRY(fchmod(fd, 0600));
	TRY(ftruncate(fd, 3));
	get(path);
	shut(fd);
}

static void links(void)
{
	char long_name[300], deep[5000] = "";

	section("symlinks");
	put("file", "content");
	TRY(symlink("file", "s1"));
	TRY(symlink("s1", "s2"));
	TRY(symlink("s2", "s3"));
	TRY(symlink("loop-b", "loop-a"));
	TRY(symlink("loop-a", "loop-b"));
	TRY(symlink("nowhere", "dangling"));
	TRY(symlink("nodir/nowhere", "dangling2"));
	TRY(symlink("dir", "sdir"));
	TRY(symlink("", "sempty"));
	TRY(symlink("file", "s1"));
	TRY(symlink("file", "dir"));
	TRY(symlink("x", "absent/x"));
	TRY(symlink("x", "newlink/"));
	get("s3");
	SHUT(open("s3", O_WRONLY));
	SHUT(open("s3", O_RDONLY | O_NOFOLLOW));
	SHUT(open("s3", O_WRONLY | O_NOFOLLOW));
	SHUT(open("s3", O_PATH | O_NOFOLLOW));
	SHUT(open("s3", O_WRONLY | O_CREAT | O_EXCL, 0600));
	SHUT(open("sdir", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	SHUT(open("sdir/", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	SHUT(open("sdir/f", O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
	SHUT(open("loop-a", O_RDONLY));
	SHUT(open("loop-a", O_WRONLY | O_CREAT, 0600));
	SHUT(open("loop-a", O_RDONLY | O_NOFOLLOW));
	SHUT(open("loop-a/x", O_WRONLY));
	SHUT(open("dangling", O_RDONLY));
	SHUT(open("dangling", O_WRONLY));
	SHUT(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
	SHUT(open("dangling", O_WRONLY | O_CREAT, 0600));
	look("nowhere");
	SHUT(open("dangling2", O_WRONLY | O_CREAT, 0600));
	SHUT(open("dangling/", O_WRONLY | O_CREAT, 0600));
	TRY(unlink("sdir/"));
	TRY(rmdir("sdir"));
	TRY(rmdir("sdir/"));
	TRY(unlink("s3"));
	look("file");
	for (int i = 0; i < 45; i++) {
		char a[16], b[16];

		snprintf(a, sizeof(a), "c%d", i);
		snprintf(b, sizeof(b), "c%d", i + 1);
		if (symlink(b, a) != 0)
			say(-1, "chain");
	}
	put("c45", "end of the chain");
	for (int i = 0; i < 45; i++) {
		char a[16];
		int fd;

		snprintf(a, sizeof(a), "c%d", i);
		fd = open(a, O_WRONLY);
		if (fd < 0)
			printf("%d links: %s\n", 45 - i, strerrorname_np(errno));
		shut(fd);
	}
	memset(long_name, 'n', sizeof(long_name));
	long_name[255] = '\0';
	say(mkdir(long_name, 0700), "mkdir 255 letters");
	say(rmdir(long_name), "rmdir 255 letters");
	long_name[255] = 'n';
	long_name[256] = '\0';
	say(open(long_name, O_WRONLY | O_CREAT, 0600), "open 256 letters");
	say(mkdir(long_name, 0700), "mkdir 256 letters");
	say(symlink("x", long_name), "symlink 256 letters");
	for (int i = 0; i < 2047; i++)
		strcat(deep, "./");
	strcat(deep, "x");
	say(open(deep, O_WRONLY | O_CREAT, 0600), "path of %zu", strlen(deep));
	close(3);
	strcat(deep, "y");
	say(open(deep, O_WRONLY | O_CREAT, 0600), "path of %zu", strlen(deep));
	say(unlink(deep), "unlink path of %zu", strlen(deep));
	say(symlink(deep, "longtarget"), "symlink to a target of %zu", strlen(deep));

	section("hard links");
	put("one", "1");
	TRY(link("one", "two"));
	look("one");
	TRY(link("one", "two"));
	TRY(link("absent", "three"));
	TRY(link("dir", "dirlink"));
	TRY(link("s1", "hard-to-symlink"));
	look("hard-to-symlink");
	TRY(linkat(AT_FDCWD, "s1", AT_FDCWD, "hard-followed", AT_SYMLINK_FOLLOW));
	look("hard-followed");
	TRY(linkat(AT_FDCWD, "one", AT_FDCWD, "x1", 0x8000));
	TRY(link("one", "dir"));
	TRY(link("one", "newname/"));
	TRY(link("one/", "newname"));
	TRY(link("/dev/null", "nulllink"));
	TRY(unlink("one"));
	look("two");
	get("two");
}

static void renames(void)
{
	section("rename");
	put("a", "A");
	put("b", "B");
	TRY(rename("a", "b"));
	get("b");
	look("a");
	put("a", "A");
	TRY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1 /* NOREPLACE */));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c-new", 1));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "c-new", AT_FDCWD, "b", 2 /* EXCHANGE */));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "absent", AT_FDCWD, "b", 2));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "d", 3));
	TRY(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "d", 0x100));
	get("b");
	get("c-new");
	TRY(mkdir("d1", 0755));
	TRY(mkdir("d2", 0755));
	put("d2/x", "x");
	TRY(rename("d1", "d2"));
	TRY(rename("d2", "d1"));
	look("d1/x");
	TRY(mkdir("d1/sub", 0755));
	TRY(rename("d1", "d1/sub/in"));
	TRY(rename("d1", "d1"));
	TRY(rename("b", "b"));
	TRY(rename("d1/", "d3/"));
	TRY(rename("d3", "d1"));
	TRY(rename("b", "d1"));
	TRY(rename("d1", "b"));
	TRY(rename("b/", "e"));
	TRY(rename("b", "e/"));
	TRY(rename("absent", "e"));
	TRY(rename("b", "absent/e"));
	TRY(rename(".", "e"));
	TRY(rename("..", "e"));
	TRY(rename("b", ""));
	TRY(rename("", "e"));
	TRY(link("b", "b-hard"));
	TRY(rename("b", "b-hard"));
	look("b");
	TRY(symlink("b", "b-soft"));
	TRY(rename("b-soft", "b-soft2"));
	look("b-soft2");
	TRY(rename("b", "/dev/vsb-test-name"));
	/* a directory that was there before us: see run.sh */
	TRY(rename("found", "found2"));
	get("found2/inner/deep");
	look("found2");
	TRY(rename("found2/inner", "inner-out"));
	get("inner-out/deep");
	TRY(rename("inner-out", "found2/inner"));
	TRY(rename("found2", "found"));
	get("found/inner/deep");
	TRY(rename("found/old", "found/new"));
	look("found/new");
}

static void removal(void)
{
	section("removal");
	TRY(unlink("absent"));
	TRY(unlink("dir"));
	TRY(unlink("."));
	TRY(unlink(""));
	TRY(unlink("/"));
	TRY(rmdir("file"));
	TRY(rmdir("absent"));
	TRY(rmdir("."));
	TRY(rmdir(".."));
	TRY(rmdir("dir/."));
	TRY(rmdir("dir/.."));
	TRY(rmdir(""));
	TRY(rmdir("/"));
	TRY(mkdir("full", 0755));
	put("full/x", "x");
	TRY(rmdir("full"));
	TRY(unlinkat(AT_FDCWD, "full/x", AT_REMOVEDIR));
	TRY(unlinkat(AT_FDCWD, "full/x", 0x4000));
	TRY(unlink("full/x"));
	TRY(unlinkat(AT_FDCWD, "full", AT_REMOVEDIR));
	put("f", "f");
	TRY(unlink("f/"));
	TRY(unlink("f/x"));
	TRY(unlink("f"));
	/* found by us: the lower layer's */
	TRY(unlink("found/inner/deep"));
	look("found/inner/deep");
	SHUT(open("found/inner/deep", O_RDONLY));
	TRY(rmdir("found/inner"));
	TRY(mkdir("found/inner", 0700));
	look("found/inner/deep");
	look("found/inner");
	section("mkdir");
	TRY(mkdir("dir", 0700));
	TRY(mkdir("file", 0700));
	TRY(mkdir("s1", 0700));
	TRY(mkdir("absent/x", 0700));
	TRY(mkdir("", 0700));
	TRY(mkdir("/", 0700));
	TRY(mkdir(".", 0700));
	TRY(mkdir("newdir/", 0700));
	TRY(mkdir("newdir/x/../y", 0700));
	TRY(mkdir("loop-a", 0700));
}

static void nodes(void)
{
	section("mknod");
	TRY(mknod("fifo", S_IFIFO | 0644, 0));
	TRY(mkfifo("fifo", 0644));
	TRY(mknod("regular", S_IFREG | 0640, 0));
	TRY(mknod("untyped", 0604, 0));
	TRY(mknod("socket", S_IFSOCK | 0600, 0));
	TRY(mknod("dirnode", S_IFDIR | 0700, 0));
	TRY(mknod("odd", 0170000 | 0700, 0));
	look("fifo");
	look("regular");
	look("untyped");
	look("socket");
	SHUT(open("socket", O_RDONLY));
	SHUT(open("socket", O_PATH));
	SHUT(open("fifo", O_WRONLY | O_NONBLOCK));
	SHUT(open("fifo", O_RDONLY | O_NONBLOCK));
	SHUT(open("fifo", O_RDWR));
}

static void times(void)
{
	struct timespec set[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
	struct timespec omit[2] = { { 0, UTIME_OMIT }, { 5, 5 } };
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	struct timespec bad[2] = { { 0, 2000000000 }, { 0, 0 } };
	struct timeval tv[2] = { { 7, 8 }, { 9, 10 } };
	struct utimbuf ub = { 11, 12 };
	struct stat st;
	int fd;

	section("times");
	put("t", "t");
	TRY(symlink("t", "t-soft"));
#define TIMES(p) \
	do { \
		if (lstat(p, &st) == 0) \
			printf("%s: %ld.%09ld %ld.%09ld\n", p, st.st_atim.tv_sec, \
			       st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec); \
	} while (0)
	TRY(utimensat(AT_FDCWD, "t", set, 0));
	TIMES("t");
	TRY(utimensat(AT_FDCWD, "t", omit, 0));
	TIMES("t");
	TRY(utimensat(AT_FDCWD, "t", now, 0));
	TRY(utimensat(AT_FDCWD, "t", bad, 0));
	TRY(utimensat(AT_FDCWD, "t-soft", set, AT_SYMLINK_NOFOLLOW));
	TIMES("t-soft");
	TRY(utimensat(AT_FDCWD, "absent", set, 0));
	TRY(utimensat(AT_FDCWD, "t", set, 0x4000));
	TRY(utimes("t", tv));
	TIMES("t");
	TRY(utime("t", &ub));
	TIMES("t");
	TRY(lutimes("t-soft", tv));
	TRY(syscall(SYS_futimesat, AT_FDCWD, "t", tv));
	TRY(utime("/", &ub) == 0 ? 0 : -1);
	fd = open("t", O_RDONLY);
	TRY(futimens(fd, set));
	TIMES("t");
	TRY(syscall(SYS_utimensat, fd, NULL, omit, 0));
	TRY(syscall(SYS_utimensat, fd, NULL, omit, AT_EMPTY_PATH));
	TRY(syscall(SYS_utimensat, AT_FDCWD, NULL, omit, 0));
	TRY(futimens(-1, omit));
	TRY(syscall(SYS_utimensat, fd, "", set, AT_EMPTY_PATH));
	TIMES("t");
	shut(fd);
	put("mtime-moves", "1");
	TRY(utimensat(AT_FDCWD, "mtime-moves", set, 0));
	put("mtime-moves", "2");
	lstat("mtime-moves", &st);
	printf("mtime is of now: %d\n", time(NULL) - st.st_mtim.tv_sec < 100);
	/* a write through a fd that was opened before the times were set */
	TRY(utimensat(AT_FDCWD, "found/dated", set, 0));
	TIMES("found/dated");
}

static void attributes(void)
{
	char value[64];

	section("chmod, chown, truncate");
	put("f", "0123456789");
	TRY(symlink("f", "f-soft"));
	TRY(chmod("f", 0751));
	look("f");
	TRY(chmod("f-soft", 0700));
	look("f");
	TRY(fchmodat(AT_FDCWD, "f-soft", 0755, AT_SYMLINK_NOFOLLOW));
	TRY(syscall(452, AT_FDCWD, "f", 0711, 0));
	TRY(syscall(452, AT_FDCWD, "f-soft", 0711, AT_SYMLINK_NOFOLLOW));
	TRY(syscall(452, AT_FDCWD, "f", 0711, 0x4000));
	look("f");
	look("f-soft");
	TRY(chmod("absent", 0600));
	TRY(chmod("f/", 0600));
	TRY(chmod("", 0600));
	TRY(chmod("f", 0177777));
	look("f");
	TRY(chown("f", -1, -1));
	TRY(chown("f", getuid(), -1));
	look("f");
	TRY(lchown("f-soft", getuid(), getgid()));
	TRY(chown("f", 54321, 54322));
	look("f");
	TRY(chown("absent", 0, 0));
	TRY(fchownat(AT_FDCWD, "", getuid(), -1, AT_EMPTY_PATH));
	TRY(chmod("f", 0644));
	put("g", "0123456789");
	TRY(truncate("g", 4));
	get("g");
	TRY(truncate("g", 100));
	look("g");
	TRY(truncate("g", -1));
	TRY(truncate("dir", 0));
	TRY(truncate("absent", 0));
	TRY(truncate("fifo", 0));
	TRY(truncate("g/", 0));
	TRY(truncate("dangling2", 0));
	TRY(truncate("found/sized", 3));
	get("found/sized");
	section("extended attributes");
	TRY(setxattr("g", "user.one", "first", 5, 0));
	TRY(setxattr("g", "user.one", "again", 5, XATTR_CREATE));
	TRY(setxattr("g", "user.two", "x", 1, XATTR_REPLACE));
	TRY(setxattr("g", "user.one", "again", 5, XATTR_REPLACE));
	memset(value, 0, sizeof(value));
	TRY(getxattr("g", "user.one", value, sizeof(value)));
	printf("%s\n", value);
	TRY(getxattr("g", "user.one", NULL, 0));
	TRY(getxattr("g", "user.one", value, 2));
	TRY(listxattr("g", NULL, 0));
	TRY(removexattr("g", "user.one"));
	TRY(removexattr("g", "user.one"));
	TRY(setxattr("g", "bogus.name", "x", 1, 0));
	TRY(setxattr("g", "user.", "x", 1, 0));
	TRY(setxattr("g", "", "x", 1, 0));
	TRY(setxattr("absent", "user.x", "x", 1, 0));
	TRY(lsetxattr("f-soft", "user.x", "x", 1, 0));
	TRY(setxattr("f-soft", "user.x", "via link", 8, 0));
	TRY(getxattr("f", "user.x", NULL, 0));
	TRY(setxattr("g", "user.x", "x", 1, 77));
	TRY(setxattr("g", "user.big", NULL, 0, 0));
	static char huge[70000];
	TRY(setxattr("g", "user.huge", huge, sizeof(huge), 0));
	section("attributes by descriptor");
	int fds[] = { open("g", O_RDONLY),
		      open("g", O_WRONLY),
		      open("g", O_PATH),
		      open("dir", O_RDONLY | O_DIRECTORY),
		      memfd_create("m", 0),
		      open("found/sized", O_RDONLY),
		      -1 };
	for (unsigned i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		struct stat st = { 0 };
		TRY(fchmod(fds[i], 0705));
		TRY(fchown(fds[i], getuid(), getgid()));
		TRY(fchown(fds[i], 54321, -1));
		TRY(fsetxattr(fds[i], "user.by", "fd", 2, 0));
		TRY(fsetxattr(fds[i], "user.by", "fd", 2, XATTR_CREATE));
		TRY(fremovexattr(fds[i], "user.by"));
		TRY(fremovexattr(fds[i], "user.by"));
		fstat(fds[i], &st);
		printf("mode %o\n", st.st_mode);
	}
	for (unsigned i = 0; i < 6; i++)
		shut(fds[i]);
	TRY(fchmod(AT_FDCWD, 0700));
	TRY(fchown(AT_FDCWD, -1, -1));
}

static void relative(void)
{
	int dir, deleted;
	char buffer[PATH_MAX];

	section("dirfd and cwd");
	TRY(mkdir("rel", 0755));
	put("rel/f", "in rel");
	dir = (int)TRY(open("rel", O_RDONLY | O_DIRECTORY));
	SHUT(openat(dir, "f", O_RDWR));
	SHUT(openat(dir, "new", O_RDWR | O_CREAT | O_EXCL, 0600));
	SHUT(openat(dir, "../file", O_RDWR));
	SHUT(openat(dir, "/dev/null", O_RDWR));
	SHUT(openat(dir, "", O_RDONLY));
	SHUT(openat(dir, ".", O_RDONLY));
	TRY(mkdirat(dir, "d", 0700));
	TRY(symlinkat("f", dir, "s"));
	TRY(linkat(dir, "f", AT_FDCWD, "linked-out", 0));
	TRY(renameat(dir, "new", AT_FDCWD, "moved-out"));
	TRY(renameat(AT_FDCWD, "moved-out", dir, "new"));
	TRY(unlinkat(dir, "d", AT_REMOVEDIR));
	TRY(fchmodat(dir, "new", 0604, 0));
	look("rel/new");
	TRY(rename("rel", "rel-moved"));
	SHUT(openat(dir, "after-move", O_RDWR | O_CREAT, 0600));
	look("rel-moved/after-move");
	int file = open("file", O_RDONLY);
	SHUT(openat(file, "x", O_RDWR | O_CREAT, 0600));
	TRY(mkdirat(file, "x", 0700));
	shut(file);
	file = open("rel-moved", O_PATH);
	SHUT(openat(file, "f", O_RDWR));
	SHUT(openat(file, "f2", O_RDWR | O_CREAT, 0600));
	shut(file);
	shut(dir);
	TRY(chdir("rel-moved"));
	SHUT(open("f", O_RDWR));
	SHUT(open("../file", O_RDWR));
	TRY(chdir(".."));
	TRY(mkdir("doomed", 0755));
	TRY(mkdir("doomed/sub", 0755));
	deleted = open("doomed", O_RDONLY | O_DIRECTORY);
	TRY(chdir("doomed/sub"));
	TRY(rmdir("../sub"));
	TRY(rmdir("../../doomed"));
	SHUT(open("x", O_WRONLY | O_CREAT, 0600));
	SHUT(open("x", O_RDONLY));
	SHUT(open(".", O_RDONLY));
	SHUT(open("..", O_RDONLY));
	TRY(mkdir("x", 0700));
	TRY(symlink("a", "b"));
	say(getcwd(buffer, sizeof(buffer)) ? 0 : -1, "getcwd in a deleted directory");
	TRY(fchdir(deleted));
	SHUT(openat(deleted, "x", O_WRONLY | O_CREAT, 0600));
	shut(deleted);
}

/* Again where a mount or a rename anywhere on the machine kept the kernel from being sure of a "..". */
static long open_two(int dir, const char *name, struct open_how *how)
{
	long r;

	do
		r = syscall(SYS_openat2, dir, name, how, sizeof(*how));
	while (r < 0 && errno == EAGAIN);
	return r;
}

static void openat2s(void)
{
	struct open_how how = { .flags = O_RDWR };
	char big[128] = { 0 };
	int dir;

	section("openat2");
	dir = open("dir", O_PATH);
	put("dir/f", "f");
	TRY(symlink("/dev/null", "dir/abs"));
	TRY(symlink("../file", "dir/up"));
	TRY(symlink("f", "dir/down"));
#define TWO(name) SHUT(open_two(dir, name, &how))
	for (unsigned r = 0; r < 32; r++) {
		how.resolve = r;
		printf("resolve %x\n", r);
		TWO("f");
		TWO("down");
		TWO("up");
		TWO("abs");
		TWO("../file");
		TWO("/dev/null");
		TWO("/proc/self/exe");
	}
	how.resolve = RESOLVE_CACHED;
	say(syscall(SYS_openat2, dir, "f", &how, sizeof(how)) >= 0 || errno == EAGAIN ? 0 : -1,
	    "RESOLVE_CACHED opens or says EAGAIN");
	close(dir + 1);
	how.resolve = 0x80000000;
	TWO("f");
	how.resolve = 0;
	how.mode = 0644;
	TWO("f");
	how.flags = O_RDWR | O_CREAT;
	how.mode = 010000;
	TWO("made");
	how.mode = 0604;
	TWO("made");
	look("dir/made");
	how.flags = O_RDWR | O_TMPFILE;
	TWO(".");
	how.flags = 1ULL << 40;
	how.mode = 0;
	TWO("f");
	how.flags = O_RDONLY;
	SHUT(syscall(SYS_openat2, dir, "f", &how, 0UL));
	SHUT(syscall(SYS_openat2, dir, "f", &how, 8UL));
	SHUT(syscall(SYS_openat2, dir, "f", big, sizeof(big)));
	big[100] = 1;
	SHUT(syscall(SYS_openat2, dir, "f", big, sizeof(big)));
	SHUT(syscall(SYS_openat2, dir, "f", NULL, sizeof(how)));
	SHUT(syscall(SYS_openat2, dir, "f", big, 1UL << 20));
	shut(dir);
}

static void *fifo_reader(void *arg)
{
	char text[16] = "";
	int fd = open(arg, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		snprintf(text, sizeof(text), "error %d", errno);
	shut(fd);
	return strdup(text);
}

static void proc(void)
{
	char text[256] = "", path[64];
	int fds[2], fd;
	pthread_t t;
	void *answer = NULL;

	section("/proc, /dev");
	say(readlink("/proc/self", text, sizeof(text) - 1) > 0 && strtol(text, NULL, 10) == getpid()
		    ? 0
		    : -1,
	    "/proc/self is us");
	SHUT(open("/proc/self/status", O_RDONLY));
	SHUT(open("/proc/self/maps", O_RDONLY));
	SHUT(open("/proc/self/exe", O_RDONLY));
	SHUT(open("/proc/self/exe", O_WRONLY));
	SHUT(open("/proc/thread-self/comm", O_RDWR));
	fd = open("/proc/self/comm", O_WRONLY);
	TRY(write(fd, "renamed", 7));
	shut(fd);
	get("/proc/self/comm");
	SHUT(open("/proc/self/oom_score_adj", O_WRONLY));
	SHUT(open("/proc/self/cwd", O_RDONLY));
	SHUT(open("/proc/self/cwd/file", O_RDWR));
	SHUT(open("/proc/self/root/dev/null", O_RDWR));
	SHUT(open("/proc/self/nonexistent", O_RDONLY));
	SHUT(open("/proc/self/newfile", O_WRONLY | O_CREAT, 0600));
	SHUT(open("/proc/self/fd/77", O_RDONLY));
	fd = open("file", O_RDONLY);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	say(open(path, O_RDWR), "reopen read-write by /dev/fd");
	close(fd + 1);
	shut(fd);
	if (pipe(fds) == 0) {
		snprintf(path, sizeof(path), "/dev/fd/%d", fds[1]);
		fd = (int)say(open(path, O_WRONLY), "pipe by /dev/fd");
		TRY(write(fd, "pipe", 4));
		memset(text, 0, sizeof(text));
		TRY(read(fds[0], text, 10));
		puts(text);
		shut(fd);
		close(fds[0]);
		close(fds[1]);
	}
	SHUT(open("/dev/stdin", O_RDONLY));
	SHUT(open("/dev/null", O_RDWR));
	SHUT(open("/dev/zero", O_RDWR));
	SHUT(open("/dev/full", O_WRONLY));
	SHUT(open("/dev/urandom", O_RDONLY));
	SHUT(open("/dev/tty", O_RDWR));
	fd = open("/dev/full", O_WRONLY);
	TRY(write(fd, "x", 1));
	shut(fd);
	fd = (int)TRY(posix_openpt(O_RDWR | O_NOCTTY));
	TRY(grantpt(fd));
	TRY(unlockpt(fd));
	say(open(ptsname(fd) ? ptsname(fd) : "", O_RDWR | O_NOCTTY), "open the pty's other end");
	close(fd + 1);
	shut(fd);
	fd = shm_open("/vsb-fidelity", O_RDWR | O_CREAT | O_EXCL, 0600);
	say(fd, "shm_open");
	TRY(shm_unlink("/vsb-fidelity"));
	shut(fd);

	section("fifo");
	TRY(mkfifo("ff", 0600));
	pthread_create(&t, NULL, fifo_reader, (void *)"ff");
	fd = (int)TRY(open("ff", O_WRONLY));
	TRY(write(fd, "through", 7));
	shut(fd);
	pthread_join(t, &answer);
	printf("reader got: %s\n", (char *)answer);
	free(answer);
}

static int count_inotify(int fd, uint32_t mask)
{
	char buffer[4096] __attribute__((aligned(8)));
	ssize_t n;
	int hits = 0;

	while (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 100) > 0 &&
	       (n = read(fd, buffer, sizeof(buffer))) > 0)
		for (char *p = buffer; p < buffer + n;) {
			struct inotify_event *e = (void *)p;

			hits += !!(e->mask & mask);
			p += sizeof(*e) + e->len;
		}
	return hits;
}

static void locks_and_events(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int a, b, watch;

	section("locks, leases, inotify, mmap");
	put("lock", "lock");
	a = open("lock", O_RDWR);
	b = open("lock", O_RDWR);
	TRY(flock(a, LOCK_EX | LOCK_NB));
	TRY(flock(b, LOCK_EX | LOCK_NB));
	TRY(fcntl(a, F_SETLK, &lock));
	if (fork() == 0) {
		int c = open("lock", O_RDWR);

		TRY(fcntl(c, F_SETLK, &lock));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	shut(a);
	shut(b);
	a = open("lock", O_RDONLY);
	TRY(fcntl(a, F_SETLEASE, F_RDLCK));
	TRY(fcntl(a, F_SETLEASE, F_UNLCK));
	shut(a);
	a = open("lock", O_RDWR);
	TRY(fcntl(a, F_SETLEASE, F_WRLCK)); /* fails with EAGAIN when somebody else holds it open */
	shut(a);
	watch = inotify_init1(IN_CLOEXEC);
	TRY(inotify_add_watch(watch, ".", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
	put("seen", "1");
	rename("seen", "seen2");
	unlink("seen2");
	printf("inotify: created+deleted+moved %d\n",
	       count_inotify(watch, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
	shut(watch);
	a = open("lock", O_RDWR);
	char *p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	if (p == MAP_FAILED) {
		say(-1, "mmap");
	} else {
		memcpy(p, "LOCK", 4);
		munmap(p, 4);
	}
	shut(a);
	get("lock");
	section("a read-only fd sees later writes");
	a = open("found/shared", O_RDONLY);
	b = open("found/shared", O_WRONLY);
	TRY(write(b, "new", 3));
	char text[16] = "";
	TRY(pread(a, text, 3, 0));
	puts(text); /* overlay: a lower file opened before copy-up shows the old bytes */
	shut(a);
	shut(b);
}

static void busy_text(void)
{
	int fd, status;
	char buffer[65536];
	ssize_t n;
	int self;

	section("exec");
	self = open("/proc/self/exe", O_RDONLY);
	for (int i = 0; i < 20; i++) {
		fd = open("prog", O_WRONLY | O_CREAT | O_TRUNC, 0755);
		lseek(self, 0, SEEK_SET);
		while ((n = read(self, buffer, sizeof(buffer))) > 0)
			if (write(fd, buffer, (size_t)n) != n)
				say(-1, "copy");
		close(fd);
		if (fork() == 0) {
			execl("./prog", "prog", "--exit", (char *)NULL);
			printf("exec %d: %s\n", i, strerrorname_np(errno));
			fflush(stdout);
			_exit(1);
		}
		wait(&status);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
			printf("exec %d: status %x\n", i, status);
		unlink("prog");
	}
	shut(self);
	put("script", "#!/bin/sh\nexit 9\n");
	fflush(stdout);
#define EXEC(path, ...) \
	do { \
		if (fork() == 0) { \
			execl(path, path, ##__VA_ARGS__, (char *)NULL); \
			printf("exec %s: %s\n", path, strerrorname_np(errno)); \
			fflush(stdout); \
			_exit(1); \
		} \
		wait(&status); \
		printf("exec %s: status %x\n", path, status); \
		fflush(stdout); \
	} while (0)
	EXEC("./script");
	chmod("script", 0755);
	EXEC("./script");
	put("badinterp", "#!/nonexistent/interp\n");
	chmod("badinterp", 0755);
	EXEC("./badinterp");
	put("noformat", "just text");
	chmod("noformat", 0755);
	EXEC("./noformat");
	put("chain", "#!./script\n");
	chmod("chain", 0755);
	EXEC("./chain");
	EXEC("./dir");
	EXEC("./absent");
	EXEC("./file/x");
	EXEC("");
	EXEC("/bin/true");
	EXEC("/bin/sh", "-c", "exit 3");
	EXEC("/bin/sh", "-c", "kill -9 $$");
	TRY(symlink("/bin/false", "false-link"));
	EXEC("./false-link");
	fd = open("/bin/true", O_PATH);
	if (fork() == 0) {
		char *const argv[] = { (char *)"true", NULL };

		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		printf("execveat: %s\n", strerrorname_np(errno));
		fflush(stdout);
		_exit(1);
	}
	wait(&status);
	printf("execveat: %x\n", status);
	shut(fd);
	fd = open("busy", O_WRONLY | O_CREAT, 0755);
	TRY(write(fd, "#!/bin/sh\n", 10));
	EXEC("./busy");
	shut(fd);
}

static int unlink_it(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if ((type == FTW_DP ? rmdir(path) : unlink(path)) != 0)
		say(-1, "remove %s", path);
	return 0;
}

static void trees(void)
{
	char name[64];
	int n = 0;
	DIR *d;

	section("a tree made, listed, removed");
	mkdir("tree", 0755);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "tree/%d", i);
		mkdir(name, 0755);
		for (int j = 0; j < 10; j++) {
			snprintf(name, sizeof(name), "tree/%d/%d", i, j);
			put(name, name);
		}
	}
	d = opendir("tree/3");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	printf("%d entries\n", n);
	nftw("tree", unlink_it, 8, FTW_DEPTH | FTW_PHYS);
	look("tree");
}

static void unix_sockets(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "listening" };
	int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);

	section("own unix sockets");
	TRY(bind(a, (struct sockaddr *)&sa, sizeof(sa)));
	look("listening");
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	TRY(listen(a, 1));
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	shut(a);
	shut(b);
	b = socket(AF_UNIX, SOCK_STREAM, 0);
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	strcpy(sa.sun_path, "absent-socket");
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	shut(b);
}

static void foreign(void)
{
	section("what is not ours");
	SHUT(open("/etc/passwd", O_RDONLY));
	if (geteuid() != 0) { /* ids that a namespace of one does not even know */
		/* root may have it natively, as the init of the machine goes; inside that is nobody's */
		SHUT(open("/proc/1/environ", O_WRONLY));
		TRY(setuid(65534));
		TRY(setgid(65534));
		TRY(setresuid(geteuid(), 65534, (uid_t)-1));
		TRY(setresuid((uid_t)-1, geteuid(), (uid_t)-1));
		TRY(setregid(getegid(), getegid()));
	}
	SHUT(open("foreign/file", O_RDONLY));
	SHUT(open("foreign/file", O_WRONLY));
	SHUT(open("foreign/new", O_WRONLY | O_CREAT, 0600));
	TRY(unlink("foreign/file"));
	TRY(chmod("foreign/file", 0600));
	TRY(rename("foreign/file", "mine"));
	TRY(mkdir("foreign/d", 0700));
	SHUT(open("locked/file", O_RDONLY));
	TRY(unlink("locked/file"));
	TRY(truncate("locked/file", 0));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 42;
	close_range(3, ~0U, 0); /* what we were started with shall not count */
	umask(022);
	opens();
	descriptors();
	too_many();
	modes();
	threads();
	temporary();
	links();
	renames();
	removal();
	nodes();
	times();
	attributes();
	openat2s();
	proc();
	locks_and_events();
	busy_text();
	trees();
	unix_sockets();
	foreign();
	relative(); /* last: it leaves the process in a deleted directory */
	return 0;
}
