/* Links, renames, removals, nodes, and where a relative name begins. */
#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "transcript.h"

/* Of how many links in a row does the kernel make ELOOP? */
static void chain_of_links(void)
{
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
}

static void long_names(void)
{
	char long_name[300], deep[5000] = "";

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
}

static void symlinks(void)
{
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
	chain_of_links();
	long_names();
}

static void hard_links(void)
{
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
}

static void mkdirs(void)
{
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

/* The same text leads elsewhere, or nowhere, after what is done to the directories on the way. */
static void walked(void)
{
	char far[PATH_MAX];
	int back = open(".", O_RDONLY | O_DIRECTORY), way;

	section("a directory that was walked to before");
	TRY(mkdir("walk", 0755));
	TRY(mkdir("walk/in", 0755));
	put("walk/in/f", "one");
	put("walk/in/g", "two");
	TRY(rename("walk", "walk-old"));
	SHUT(open("walk/in/h", O_WRONLY | O_CREAT, 0600));
	TRY(mkdir("walk", 0755));
	SHUT(open("walk/in/h", O_WRONLY | O_CREAT, 0600));
	TRY(mkdir("walk/in", 0755));
	put("walk/in/h", "anew");
	look("walk/in/h");
	look("walk-old/in/h");
	TRY(unlink("walk/in/h"));
	TRY(rmdir("walk/in"));
	SHUT(open("walk/in/h", O_WRONLY | O_CREAT, 0600));
	TRY(symlink("../walk-old/in", "walk/in"));
	put("walk/in/i", "behind a link");
	look("walk-old/in/i");
	TRY(mkdir("walk-other", 0755));
	TRY(mkdir("walk-other/in", 0755));
	put("walk-other/in/f", "another");
	put("walk-old/in/f", "one");
	TRY(renameat2(AT_FDCWD, "walk-old", AT_FDCWD, "walk-other", RENAME_EXCHANGE));
	get("walk-old/in/f");
	put("walk-old/in/j", "exchanged");
	look("walk-other/in/j");
	TRY(rename("walk-other", "walk-old/in/below"));
	put("walk-old/in/below/in/k", "moved below");
	SHUT(open("walk-other/in/k", O_WRONLY | O_CREAT, 0600));
	TRY(mkdir("walk-empty", 0755));
	SHUT(open("walk-empty/l", O_WRONLY | O_CREAT, 0600));
	TRY(unlink("walk-empty/l"));
	TRY(rename("walk-old", "walk-empty"));
	put("walk-empty/l", "put over an empty one");
	look("walk-empty/in/f");
	SHUT(open("walk-empty/in/../in/f", O_RDWR));
	SHUT(open("walk-empty/nothing/../in/f", O_RDWR));

	/* closed to who walks, not to who stands behind */
	way = open("walk-empty", O_RDONLY | O_DIRECTORY);
	if (!realpath("walk-empty/in", far))
		far[0] = '\0';
	strcat(far, "/m");
	SHUT(open(far, O_WRONLY | O_CREAT, 0600));
	SHUT(open("walk-empty/in/m", O_WRONLY));
	TRY(fchmod(way, 0600));
	SHUT(open(far, O_WRONLY));
	SHUT(open("walk-empty/in/m", O_WRONLY));
	TRY(rename("walk-empty/in/m", "walk-empty/in/n"));
	TRY(fchmod(way, 0700));
	SHUT(open(far, O_WRONLY | O_CREAT, 0600));
	TRY(chdir("walk-empty/in"));
	TRY(chmod("..", 0));
	SHUT(open("m", O_WRONLY | O_CREAT, 0600));
	SHUT(open(far, O_WRONLY));
	TRY(unlink(far));
	TRY(fchdir(back));
	SHUT(open("walk-empty/in/m", O_WRONLY));
	TRY(fchmod(way, 0700));
	TRY(unlink("walk-empty/in/m"));
	TRY(chmod("found", 0));
	SHUT(open("found/inner/deep", O_WRONLY));
	TRY(chmod("found", 0755));
	SHUT(open("found/inner/deep", O_WRONLY));
	SHUT(open("found/inner/deep", O_WRONLY));
	TRY(chmod("found", 0));
	SHUT(open("found/inner/deep", O_WRONLY));
	TRY(chmod("found", 0755));
	shut(way);
	shut(back);
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

int main(void)
{
	begin();
	symlinks();
	hard_links();
	renames();
	removal();
	mkdirs();
	nodes();
	openat2s();
	trees();
	walked();
	relative(); /* last: it leaves the process in a deleted directory */
	return 0;
}
