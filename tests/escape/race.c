/*
 * Races on the memory and the names that a system call was decided on: what is
 * opened or run must be what was judged. Many tries; one wrong object is a success.
 */
#include "attack.h"

#include <linux/openat2.h>
#include <pthread.h>
#include <spawn.h>
#include <time.h>

/* Both names fill one aligned word, so that a flip is one store. */
union name {
	char text[8];
	uint64_t word;
};
static const union name allowed = { .text = "a.txt" }, denied = { .text = "a.env" };

struct shared {
	_Alignas(64) union name name;
	_Alignas(64) volatile int stop;
	struct open_how how;
	volatile uint64_t flips;
	volatile bool won; /* by what else there is to see */
};
static struct shared *shared;
static time_t began;

static void flip(void)
{
	while (!shared->stop) {
		__atomic_store_n(&shared->name.word, denied.word, __ATOMIC_SEQ_CST);
		__atomic_store_n(&shared->name.word, allowed.word, __ATOMIC_SEQ_CST);
		shared->flips++;
	}
}

static void *flip_thread(void *arg)
{
	(void)arg;
	flip();
	return NULL;
}

static int flip_clone(void *arg)
{
	(void)arg;
	flip();
	_exit(0);
}

static int share(int map)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, map | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -1;
	shared->name = allowed;
	began = time(NULL);
	return 0;
}

struct tally {
	long right, wrong, refused, other;
};

/*
 * Are more than @done tries needed? At least @n; and where the two share a processor, or others want
 * it, that many may all meet the same name, which says nothing: then as long as a minute.
 */
static bool go_on(long done, long n, bool conclusive)
{
	return done < n || (!conclusive && time(NULL) - began < 60);
}

/* One wrong object is enough; no try after it says more. */
static bool won(const struct tally *t)
{
	return shared->won || t->wrong;
}

static bool met_both(const struct tally *t)
{
	return t->right && t->refused;
}

/* Opens the name that is being flipped, @n times or more, and looks at what came. */
static struct tally open_many(int (*opener)(void), long n)
{
	struct tally t = { 0 };

	for (long i = 0; !won(&t) && go_on(i, n, met_both(&t)); i++) {
		char text[32] = "";
		int fd = opener();

		if (fd < 0) {
			if (errno == EACCES || errno == EPERM || errno == ENOENT)
				t.refused++;
			else
				t.other++;
			continue;
		}
		if (pread(fd, text, sizeof(text) - 1, 0) < 0)
			t.other++;
		else if (strstr(text, SECRET))
			t.wrong++;
		else if (strstr(text, "public"))
			t.right++;
		else
			t.other++;
		close(fd);
	}
	shared->stop = 1;
	return t;
}

static int judged(struct tally t)
{
	note("right %ld refused %ld wrong %ld other %ld, %llu flips", t.right, t.refused, t.wrong,
	     t.other, (unsigned long long)shared->flips);
	if (t.wrong)
		return SUCCEEDED;
	return t.right && t.refused ? STOPPED : INCONCLUSIVE;
}

static int open_ro(void)
{
	return open(shared->name.text, O_RDONLY);
}

static int open_rw(void)
{
	return open(shared->name.text, O_RDWR);
}

static int open_two(void)
{
	return (int)syscall(SYS_openat2, AT_FDCWD, shared->name.text, &shared->how,
			    sizeof(shared->how));
}

static int with_thread(int (*opener)(void), int how_flags)
{
	pthread_t t;
	struct tally tally;

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	shared->how.flags = (uint64_t)how_flags;
	if (pthread_create(&t, NULL, flip_thread, NULL) != 0)
		return skip("pthread_create");
	tally = open_many(opener, tries(100000));
	pthread_join(t, NULL);
	return judged(tally);
}

static int thread_read(void)
{
	return with_thread(open_ro, 0);
}

static int thread_write(void)
{
	return with_thread(open_rw, 0);
}

static int thread_openat2(void)
{
	return with_thread(open_two, O_RDWR);
}

/* O_TRUNC acts at once: the object is judged by what is left of it. */
static int open_trunc(void)
{
	int fd = open(shared->name.text, O_WRONLY | O_TRUNC);
	struct stat st;

	if (fd < 0)
		return fd;
	close(fd);
	shared->won = stat("a.env", &st) == 0 && st.st_size == 0;
	return open("plain.txt", O_RDONLY);
}

static int thread_truncate(void)
{
	struct stat st;
	int verdict_of_reads = with_thread(open_trunc, 0);

	if (stat("a.env", &st) == 0 && st.st_size == 0)
		return SUCCEEDED;
	return verdict_of_reads == SUCCEEDED ? INCONCLUSIVE : verdict_of_reads;
}

/* Another process, over shared memory: same mm or not makes no difference to the judge. */
static int shared_map(void)
{
	struct tally tally;
	pid_t twin;

	if (share(MAP_SHARED) != 0)
		return skip("mmap");
	twin = fork();
	if (twin == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		flip();
		_exit(0);
	}
	tally = open_many(open_rw, tries(100000));
	waitpid(twin, NULL, 0);
	return judged(tally);
}

static int clone_vm(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct tally tally;
	pid_t twin;

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	twin = clone(flip_clone, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (twin < 0)
		return skip("clone");
	tally = open_many(open_rw, tries(100000));
	waitpid(twin, NULL, 0);
	return judged(tally);
}

/* open_how itself is memory: an allowed read turns into a creating, truncating write. */
static void *flip_how(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		__atomic_store_n(&shared->how.flags, O_WRONLY | O_TRUNC, __ATOMIC_SEQ_CST);
		__atomic_store_n(&shared->how.flags, O_RDONLY, __ATOMIC_SEQ_CST);
		shared->flips++;
	}
	return NULL;
}

/* How it was opened is asked of the fd; what was judged is compared by run.sh with the log. */
static int openat2_how(void)
{
	pthread_t t;
	long reads = 0, writes = 0;
	struct open_how how = { .flags = O_RDONLY | (1ULL << 40) };

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	/* First the static rules: unknown flag, short structure, non-zero tail. */
	if (syscall(SYS_openat2, AT_FDCWD, "a.env", &how, sizeof(how)) >= 0)
		return SUCCEEDED;
	if (syscall(SYS_openat2, AT_FDCWD, "a.env", &shared->how, 8UL) >= 0)
		return SUCCEEDED;
	if (pthread_create(&t, NULL, flip_how, NULL) != 0)
		return skip("pthread_create");
	for (long i = 0; i < tries(20000); i++) {
		int fd = (int)syscall(SYS_openat2, AT_FDCWD, "a.env", &shared->how,
				      sizeof(shared->how));

		if (fd < 0)
			continue;
		if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
			reads++;
		else
			writes++;
		close(fd);
	}
	shared->stop = 1;
	pthread_join(t, NULL);
	note("opened %ld for reading, %ld for writing", reads, writes);
	return reads || writes ? SUCCEEDED : STOPPED;
}

/* Programs: 3 the allowed one ran, 7 the forbidden one. Eight letters each, so a flip is one store.
 */
static char *exec_path;
static union {
	char text[16];
	uint64_t word;
} exec_name = { .text = "a.okexec" };

static void *flip_exec(void *arg)
{
	uint64_t ok, no;

	(void)arg;
	memcpy(&ok, "a.okexec", 8);
	memcpy(&no, "a.noexec", 8);
	while (!shared->stop) {
		__atomic_store_n(&exec_name.word, no, __ATOMIC_SEQ_CST);
		__atomic_store_n(&exec_name.word, ok, __ATOMIC_SEQ_CST);
		shared->flips++;
	}
	return NULL;
}

/* The child shares our memory until its exec: the flipping thread reaches it. */
static __attribute__((noinline)) int run_shared(char *const argv[])
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(exec_path, argv, environ);
		_exit(126);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

static struct tally exec_many(long n, char *const argv[])
{
	struct tally t = { 0 };

	for (long i = 0; !won(&t) && go_on(i, n, met_both(&t)); i++) {
		int status = run_shared(argv);

		if (status == -1)
			t.other++;
		else if (WIFSIGNALED(status) || WEXITSTATUS(status) == 126)
			t.refused++;
		else if (WEXITSTATUS(status) == 7)
			t.wrong++;
		else if (WEXITSTATUS(status) == 3)
			t.right++;
		else
			t.other++;
	}
	shared->stop = 1;
	return t;
}

static int exec_path_flip(void)
{
	pthread_t t;
	struct tally tally;
	char *const argv[] = { (char *)"x", (char *)"--role", NULL };

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	exec_path = exec_name.text;
	if (pthread_create(&t, NULL, flip_exec, NULL) != 0)
		return skip("pthread_create");
	tally = exec_many(tries(2000), argv);
	pthread_join(t, NULL);
	return judged(tally);
}

static void *flip_exec_symlink(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		unlink("next");
		if (symlink(shared->flips & 1 ? "a.noexec" : "a.okexec", "next") == 0)
			rename("next", "program");
		shared->flips++;
	}
	return NULL;
}

static int exec_symlink_swap(void)
{
	pthread_t t;
	struct tally tally;
	char *const argv[] = { (char *)"x", (char *)"--role", NULL };

	if (share(MAP_PRIVATE) != 0 || symlink("a.okexec", "program") != 0)
		return skip("set-up");
	exec_path = (char *)"./program";
	if (pthread_create(&t, NULL, flip_exec_symlink, NULL) != 0)
		return skip("pthread_create");
	tally = exec_many(tries(1000), argv);
	pthread_join(t, NULL);
	return judged(tally);
}

/*
 * argv: each exec carries its number; the program's exit status says which word it
 * was given. run.sh compares that with what the log says was judged. A mismatch
 * that the guard kills is no mismatch.
 */
static union {
	char text[8];
	uint32_t word;
} arg_word = { .text = "safe" };

static void *flip_argv(void *arg)
{
	uint32_t safe, evil;

	(void)arg;
	memcpy(&safe, "safe", 4);
	memcpy(&evil, "evil", 4);
	while (!shared->stop) {
		__atomic_store_n(&arg_word.word, evil, __ATOMIC_SEQ_CST);
		__atomic_store_n(&arg_word.word, safe, __ATOMIC_SEQ_CST);
		shared->flips++;
	}
	return NULL;
}

static int exec_argv_flip(void)
{
	static char number[32];
	pthread_t t;
	long said_safe = 0, said_evil = 0;
	char *const argv[] = { (char *)"sh",
			       (char *)"-c",
			       (char *)"test \"$1\" = safe && exit 3; exit 7",
			       (char *)"argv-probe",
			       arg_word.text,
			       number,
			       NULL };

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	exec_path = (char *)"/bin/sh";
	if (pthread_create(&t, NULL, flip_argv, NULL) != 0)
		return skip("pthread_create");
	for (long i = 0; go_on(i, tries(1000), said_safe && said_evil); i++) {
		int status;

		snprintf(number, sizeof(number), "%ld", i);
		status = run_shared(argv);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) != 3 && WEXITSTATUS(status) != 7))
			continue;
		printf("argv-ran %ld %s\n", i, WEXITSTATUS(status) == 3 ? "safe" : "evil");
		said_safe += WEXITSTATUS(status) == 3;
		said_evil += WEXITSTATUS(status) == 7;
	}
	shared->stop = 1;
	pthread_join(t, NULL);
	/* Natively both words run. Inside too: what counts is that the log agrees. */
	return said_safe && said_evil ? SUCCEEDED : INCONCLUSIVE;
}

/* execveat of an fd that another thread exchanges. */
static int fd_good, fd_evil;

static void *flip_fd(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		dup2(fd_evil, 60);
		dup2(fd_good, 60);
		shared->flips++;
	}
	return NULL;
}

static int execveat_fd_swap(void)
{
	pthread_t t;
	struct tally tally = { 0 };
	char *const argv[] = { (char *)"x", (char *)"--role", NULL };

	if (share(MAP_PRIVATE) != 0)
		return skip("mmap");
	fd_good = open("a.okexec", O_PATH);
	fd_evil = open("a.noexec", O_PATH);
	if (fd_good < 0 || fd_evil < 0)
		return verdict(false);
	dup2(fd_good, 60);
	if (pthread_create(&t, NULL, flip_fd, NULL) != 0)
		return skip("pthread_create");
	for (long i = 0; !won(&tally) && go_on(i, tries(1000), met_both(&tally)); i++) {
		int status;
		/* Shares the descriptor table too, or the swap would not be seen. */
		pid_t pid =
			(pid_t)syscall(SYS_clone, CLONE_VFORK | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

		if (pid == 0) {
			syscall(SYS_execveat, 60, "", argv, environ, AT_EMPTY_PATH);
			_exit(126);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			tally.other++;
		else if (WIFSIGNALED(status) || WEXITSTATUS(status) == 126)
			tally.refused++;
		else if (WEXITSTATUS(status) == 7)
			tally.wrong++;
		else
			tally.right++;
	}
	shared->stop = 1;
	pthread_join(t, NULL);
	return judged(tally);
}

/* The parent of what is opened is a symlink that changes its target. */
static void *flip_parent(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		if (symlink(shared->flips & 1 ? "vault" : "open", "next") == 0)
			rename("next", "current");
		shared->flips++;
	}
	return NULL;
}

static int open_in_current(void)
{
	return open("current/key", O_RDONLY);
}

static int open_in_current_rw(void)
{
	return open("current/key", O_RDWR);
}

static int parent_swap_with(int (*opener)(void))
{
	pthread_t t;
	struct tally tally;

	if (share(MAP_PRIVATE) != 0 || symlink("open", "current") != 0)
		return skip("set-up");
	if (pthread_create(&t, NULL, flip_parent, NULL) != 0)
		return skip("pthread_create");
	tally = open_many(opener, tries(20000));
	pthread_join(t, NULL);
	return judged(tally);
}

static int parent_swap(void)
{
	return parent_swap_with(open_in_current);
}

static int parent_swap_write(void)
{
	return parent_swap_with(open_in_current_rw);
}

/* Deleting through the swapped parent: the vault's files must all be there at the end. */
static int parent_swap_unlink(void)
{
	pthread_t t;
	struct stat st;
	long i, refused = 0;

	if (share(MAP_PRIVATE) != 0 || symlink("open", "current") != 0)
		return skip("set-up");
	if (pthread_create(&t, NULL, flip_parent, NULL) != 0)
		return skip("pthread_create");
	for (i = 0; stat("vault/key", &st) == 0 && go_on(i, tries(5000), refused); i++) {
		refused += unlink("current/key") < 0 && (errno == EACCES || errno == EPERM);
		close(open("open/key", O_WRONLY | O_CREAT, 0600));
	}
	shared->stop = 1;
	pthread_join(t, NULL);
	note("%ld tries, %ld refused", i, refused);
	if (stat("vault/key", &st) != 0)
		return SUCCEEDED;
	return refused ? STOPPED : INCONCLUSIVE;
}

/* The same name is by turns a directory, which is remembered, and a link to the vault. */
static void *flip_spot(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		if (rename("spot", "away") == 0 && symlink("vault", "spot") == 0)
			shared->flips++;
		unlink("spot");
		rename("away", "spot");
	}
	return NULL;
}

static int open_in_spot(void)
{
	return open("spot/key", O_RDONLY);
}

static int open_in_spot_rw(void)
{
	return open("spot/key", O_RDWR);
}

static int spot_swap_with(int (*opener)(void))
{
	pthread_t t;
	struct tally tally;
	int fd;

	if (share(MAP_PRIVATE) != 0 || mkdir("spot", 0700) != 0 ||
	    (fd = open("spot/key", O_WRONLY | O_CREAT, 0600)) < 0 || write(fd, "public", 6) != 6)
		return skip("set-up");
	close(fd);
	if (pthread_create(&t, NULL, flip_spot, NULL) != 0)
		return skip("pthread_create");
	tally = open_many(opener, tries(20000));
	pthread_join(t, NULL);
	return judged(tally);
}

static int spot_swap(void)
{
	return spot_swap_with(open_in_spot);
}

static int spot_swap_write(void)
{
	return spot_swap_with(open_in_spot_rw);
}

/* What a relative name begins in is another thread's to move, by registers alone. */
enum { BEGIN_FD = 60 };
static int fd_open, fd_vault;

static void *flip_cwd(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		if (fchdir(fd_vault) == 0 && fchdir(fd_open) == 0)
			shared->flips++;
	}
	return NULL;
}

static void *flip_dirfd(void *arg)
{
	(void)arg;
	while (!shared->stop) {
		if (dup2(fd_vault, BEGIN_FD) == BEGIN_FD && dup2(fd_open, BEGIN_FD) == BEGIN_FD)
			shared->flips++;
	}
	return NULL;
}

static int open_key(void)
{
	return open("key", O_RDONLY);
}

static int open_key_rw(void)
{
	return open("key", O_RDWR);
}

static int open_key_at(void)
{
	return openat(BEGIN_FD, "key", O_RDONLY);
}

static int open_key_at_rw(void)
{
	return openat(BEGIN_FD, "key", O_RDWR);
}

static int begin_swap_with(void *(*flipper)(void *), int (*opener)(void))
{
	pthread_t t;
	struct tally tally;

	fd_open = open("open", O_PATH | O_DIRECTORY);
	fd_vault = open("vault", O_PATH | O_DIRECTORY);
	if (share(MAP_PRIVATE) != 0 || fd_open < 0 || fd_vault < 0 || fchdir(fd_open) != 0 ||
	    dup2(fd_open, BEGIN_FD) < 0)
		return skip("set-up");
	if (pthread_create(&t, NULL, flipper, NULL) != 0)
		return skip("pthread_create");
	tally = open_many(opener, tries(20000));
	pthread_join(t, NULL);
	return judged(tally);
}

static int cwd_swap(void)
{
	return begin_swap_with(flip_cwd, open_key);
}

static int cwd_swap_write(void)
{
	return begin_swap_with(flip_cwd, open_key_rw);
}

static int dirfd_swap(void)
{
	return begin_swap_with(flip_dirfd, open_key_at);
}

static int dirfd_swap_write(void)
{
	return begin_swap_with(flip_dirfd, open_key_at_rw);
}

/* The directory a relative name begins in gets a forbidden name, by itself and by one above it. */
static int make_in(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd >= 0)
		close(fd);
	return fd;
}

static int begin_renamed(void)
{
	if (mkdir("deep", 0700) != 0 || mkdir("deep/er", 0700) != 0 || mkdir("up", 0700) != 0 ||
	    chdir("deep/er") != 0 || make_in("before") < 0 ||
	    rename("../../deep", "../../up/vault") != 0)
		return skip("set-up");
	return verdict(make_in("after") >= 0);
}

static int begin_exchanged(void)
{
	if (mkdir("deep", 0700) != 0 || mkdir("up", 0700) != 0 || mkdir("up/vault", 0700) != 0 ||
	    chdir("deep") != 0 || make_in("before") < 0 ||
	    renameat2(AT_FDCWD, "../deep", AT_FDCWD, "../up/vault", RENAME_EXCHANGE) != 0)
		return skip("set-up");
	return verdict(make_in("after") >= 0);
}

const struct attack attacks[] = {
	{ "thread_read", thread_read, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "thread_write", thread_write, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "thread_openat2", thread_openat2, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "thread_truncate", thread_truncate, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "shared_map", shared_map, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "clone_vm", clone_vm, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "openat2_how", openat2_how, NATIVE_MUST, UNDER_ATTACK, "a.env" },
	{ "exec_path_flip", exec_path_flip, NATIVE_MUST, UNDER_ATTACK, "a.noexec" },
	{ "exec_symlink_swap", exec_symlink_swap, NATIVE_MUST, UNDER_ATTACK, "a.noexec" },
	{ "exec_argv_flip", exec_argv_flip, NATIVE_MUST, UNDER_ATTACK, NULL },
	{ "execveat_fd_swap", execveat_fd_swap, NATIVE_MUST, UNDER_ATTACK, "a.noexec" },
	{ "parent_swap", parent_swap, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "parent_swap_write", parent_swap_write, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "parent_swap_unlink", parent_swap_unlink, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "spot_swap", spot_swap, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "spot_swap_write", spot_swap_write, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "cwd_swap", cwd_swap, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "cwd_swap_write", cwd_swap_write, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "dirfd_swap", dirfd_swap, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "begin_renamed", begin_renamed, NATIVE_MUST, UNDER_ATTACK, "up/vault/er/after" },
	{ "begin_exchanged", begin_exchanged, NATIVE_MUST, UNDER_ATTACK, "up/vault/after" },
	{ "dirfd_swap_write", dirfd_swap_write, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ 0 },
};
