/* Times, modes, owners, sizes, extended attributes; and what belongs to somebody else. */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

#include "transcript.h"

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

static void modes_and_sizes(void)
{
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
}

static void xattrs(void)
{
	char value[64];

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
}

static void by_descriptor(void)
{
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

int main(void)
{
	begin();
	mkfifo("fifo", 0644);
	symlink("nodir/nowhere", "dangling2");
	times();
	modes_and_sizes();
	xattrs();
	by_descriptor();
	foreign();
	return 0;
}
