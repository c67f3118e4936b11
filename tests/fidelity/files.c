/* Files opened, made, and what their descriptors say. */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "transcript.h"

static void opens(void)
{
	section("opens");
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

int main(void)
{
	begin();
	opens();
	descriptors();
	too_many();
	modes();
	threads();
	temporary();
	return 0;
}
