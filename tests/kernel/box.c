/*
 * Real boxes, with a filter that notifies of execve only and a monitor that
 * lets everything go on: what holds here holds without the judge (law 1).
 * TAP. As root every claim is tried rootful and as an ordinary user.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/upper.h"
#include "sandbox/box.h"
#include "sandbox/fence.h"
#include "sandbox/filter.h"

extern char **environ;

/* Stands in for sandbox/filter.c. */
const struct filter *filter_of(const struct box_plan *plan)
{
	(void)plan;
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct filter filter = { .len = sizeof(code) / sizeof(code[0]),
					      .insns = code };
	return &filter;
}

static unsigned count, failures;
static uid_t user; /* the one the boxes are started by */
static char base[64], output[65536], errors[1024];
static const char *kind;

static void check(bool good, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("%sok %u - %s: ", good ? "" : "not ", ++count, kind);
	vprintf(fmt, ap);
	va_end(ap);
	puts("");
	if (!good) {
		failures++;
		for (const char *l = output; *l; l += strcspn(l, "\n"), l += *l == '\n')
			printf("# %.*s\n", (int)strcspn(l, "\n"), l);
		if (errors[0])
			printf("# error: %s\n", errors);
	}
	fflush(stdout);
}

static void skip(const char *claim, const char *reason)
{
	const char *strict = getenv("VSANDBOX_REQUIRE_KERNEL");
	bool bad = strict && strcmp(strict, "1") == 0;
	printf("%sok %u - %s: %s # SKIP %s\n", bad ? "not " : "", ++count, kind, claim, reason);
	failures += bad;
}

/* A line "key=value" is in the output. */
static bool says(const char *line)
{
	size_t len = strlen(line);
	for (const char *p = output; (p = strstr(p, line)); p++)
		if ((p == output || p[-1] == '\n') && (p[len] == '\n' || p[len] == '\0'))
			return true;
	return false;
}

enum message_bits { SEEN_STOPPED = 1, SEEN_CONTINUED = 2, SEEN_EXEC_FAILED = 4 };

/* What one box is to be, and what became of it; shared with the monitor's process. */
struct run {
	struct policy policy;
	const char *cwd;
	char *const *argv;
	uint32_t degraded_ok;
	bool enter, die; /* the monitor enters; dies when it has read a byte from die_fd */
	int die_fd;
	bool pty;         /* stdin is a terminal, of a session of its own */
	bool stop_and_go; /* answers STOPPED with SIGCONT */
	int signal;       /* sent to the agent when it has stopped, before the SIGCONT */
	/* results */
	int rc;
	int exec_errno;
	unsigned seen;
	int status;
	uint32_t degraded;
	unsigned layers;
	bool read_agent; /* the entered monitor could read the agent's memory */
	unsigned long long monitor_caps;
	pid_t init_pid;
	char text[ERR_TEXT_SIZE];
};

static unsigned long long own_caps(const struct box *b)
{
	char text[8192];
	cleanup_fd int fd = openat(b->proc_fd, "self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return ~0ULL;
	text[n] = '\0';
	const char *line = strstr(text, "CapPrm:");
	return line ? strtoull(line + 7, NULL, 16) : ~0ULL;
}

static void supervise(struct run *r, struct box *b)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = b->listener_fd, .events = POLLIN },
			{ .fd = b->control_fd, .events = POLLIN },
			{ .fd = r->die ? r->die_fd : -1, .events = POLLIN },
		};
		if (poll(p, 3, -1) <= 0)
			continue;
		if (p[2].revents)
			raise(SIGKILL);
		if (p[0].revents & POLLIN) {
			struct seccomp_notif req = { 0 };
			if (ioctl(b->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &req) == 0) {
				char c;
				struct iovec to = { .iov_base = &c, .iov_len = 1 };
				struct iovec from = { .iov_base =
							      (void *)(uintptr_t)req.data.args[0],
						      .iov_len = 1 };
				r->read_agent =
					process_vm_readv((pid_t)req.pid, &to, 1, &from, 1, 0) == 1;
				struct seccomp_notif_resp resp = {
					.id = req.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE
				};
				ioctl(b->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
			}
		}
		if (p[1].revents) {
			struct box_message m;
			if (box_receive(b, &m) <= 0)
				return;
			if (m.type == BOX_MESSAGE_EXIT)
				r->status = m.status;
			if (m.type == BOX_MESSAGE_EXEC_FAILED) {
				r->seen |= SEEN_EXEC_FAILED;
				r->exec_errno = m.status;
			}
			if (m.type == BOX_MESSAGE_CONTINUED)
				r->seen |= SEEN_CONTINUED;
			if (m.type == BOX_MESSAGE_STOPPED) {
				r->seen |= SEEN_STOPPED;
				if (r->signal)
					box_signal(b, r->signal);
				if (r->stop_and_go)
					box_signal(b, SIGCONT);
			}
		}
	}
}

/* stdin: a terminal, of a session of its own. */
static void take_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	setsid();
	int tty = master < 0 || grantpt(master) < 0 || unlockpt(master) < 0
			  ? -1
			  : open(ptsname(master), O_RDWR | O_CLOEXEC);
	if (tty < 0 || dup2(tty, 0) < 0)
		_exit(1);
}

/* stderr: a file of the host. */
static void take_messages(void)
{
	char messages[128];
	snprintf(messages, sizeof(messages), "%s/stderr", base);
	int to = open(messages, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (to < 0 || dup2(to, 2) < 0)
		_exit(1);
	close(to);
}

static _Noreturn void monitor(struct run *r, int out)
{
	char session[128];
	struct err err = { 0 };
	static struct box b;
	if (user && geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setgid(user) < 0 || setuid(user) < 0))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	snprintf(session, sizeof(session), "%s/state/s1", base);
	if (mkdir(session, 0700) < 0 && errno != EEXIST)
		_exit(1);
	int dir = open(session, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char state[128];
	struct fence fence = { 0 };
	snprintf(state, sizeof(state), "%s/state", base);
	if (fence_add(&fence, state, &err) < 0)
		_exit(1);
	struct box_plan plan = {
		.fence = &fence,
		.read_events = true,
		.policy = &r->policy,
		.session_id = session + sizeof("/tmp/vsandbox-box-") - 1,
		.session_path = session,
		.session_dirfd = dir,
		.argv = r->argv,
		.envp = environ,
		.cwd = r->cwd,
		.workspace = r->cwd,
		.net = r->policy.net,
		.degraded_ok = r->degraded_ok,
	};
	char id[32];
	snprintf(id, sizeof(id), "test-%d", getpid());
	plan.session_id = id;
	if (r->pty)
		take_terminal();
	take_messages();
	/* only the box's own descriptors may stay: one that is not ours must not reach the agent */
	int stray = open("/etc/passwd", O_RDONLY);
	dup2(out, 1);
	r->rc = box_start(&plan, &b, &err);
	if (r->rc == 0) {
		r->rc = box_await(&b, &err);
		if (r->rc < 0) {
			box_kill(&b);
			box_finish(&b);
		}
	}
	if (r->rc == 0) {
		r->degraded = b.degraded;
		r->layers = b.overlay.count;
		r->init_pid = b.init_pid;
		if (r->enter)
			r->rc = box_enter(&plan, &b, &err);
		if (r->enter)
			r->monitor_caps = own_caps(&b);
		if (r->rc == 0)
			r->rc = box_release(&b, &err);
	}
	close(stray);
	close(out);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, 1); /* else the reader would wait for us */
	snprintf(r->text, sizeof(r->text), "%s", err.text);
	if (r->rc == 0)
		supervise(r, &b);
	box_kill(&b);
	box_finish(&b);
	_exit(0);
}

/* One box. Returns the exit code as a shell tells it, -1 when it could not be built. */
static int run(struct run *r)
{
	int out[2];
	struct run *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe2(out, O_CLOEXEC) < 0)
		exit(1);
	if (!r->cwd)
		r->cwd = base;
	*shared = *r;
	shared->status = -1;
	pid_t pid = fork();
	if (pid == 0)
		monitor(shared, out[1]);
	close(out[1]);
	size_t len = 0;
	ssize_t n;
	while (len < sizeof(output) - 1 &&
	       (n = read(out[0], output + len, sizeof(output) - 1 - len)) > 0)
		len += (size_t)n;
	output[len] = '\0';
	close(out[0]);
	int status;
	waitpid(pid, &status, 0);
	*r = *shared;
	munmap(shared, sizeof(*shared));
	snprintf(errors, sizeof(errors), "%s", r->text);
	if (r->rc < 0)
		return -1;
	return WIFEXITED(r->status) ? WEXITSTATUS(r->status) : 128 + WTERMSIG(r->status);
}

static int shell(struct run *r, const char *script)
{
	char text[8192];
	snprintf(text, sizeof(text), "%s", script);
	char *argv[] = { "sh", "-c", text, NULL };
	r->argv = argv;
	int rc = run(r);
	r->argv = NULL;
	return rc;
}

static bool exists(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s%s", base, name);
	return access(path, F_OK) == 0;
}

static void what_is_seen_inside(void)
{
	struct run r = { .enter = true };
	int rc = shell(
		&r,
		"echo pids=$(ls /proc | grep -c '^[0-9]'); echo self=$$; echo ppid=$PPID\n"
		"echo uid=$(id -u); set -- $(cat /proc/self/uid_map); echo map=$*; echo "
		"host=$(hostname)\n"
		"grep -E '^(CapPrm|CapEff|CapBnd|CapInh|CapAmb|NoNewPrivs|Seccomp):' "
		"/proc/self/status | tr -d '\\t '\n"
		"echo fds=$(ls /proc/self/fd | tr '\\n' ' ')\n"
		"echo init_env=$(cat /proc/1/environ 2>/dev/null | wc -c)\n"
		"for n in null zero full random urandom tty; do test -c /dev/$n && echo node=$n; "
		"done\n"
		"test -c /dev/ptmx && echo ptmx; test -d /dev/shm && : >/dev/shm/x && echo shm; "
		"test -d /dev/mqueue && echo mqueue\n"
		"readlink /dev/fd /dev/stdin; echo text | cat /dev/stdin\n"
		"head -c 4 /dev/zero | wc -c; echo x >/dev/null && echo nullok\n"
		"grep -c . /proc/net/route; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '\n"
		"(echo 1 >/proc/sys/kernel/core_pattern) 2>/dev/null || echo sysctl-refused\n"
		"(echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null || echo drop-refused\n"
		"cat /proc/sys/user/max_user_namespaces\n"
		"(echo b >/proc/sysrq-trigger) 2>/dev/null || echo sysrq-refused; head -c1 "
		"/proc/kcore 2>/dev/null | wc -c\n"
		"unshare -U true 2>/dev/null || echo unshare-refused; unshare -m true 2>/dev/null "
		"|| echo unshare-m-refused\n"
		"mount -t tmpfs x /mnt 2>/dev/null || echo mount-refused; umount /proc/sys "
		"2>/dev/null || echo umount-refused\n"
		"mknod /tmp/vsandbox-dev b 254 0 2>/dev/null || echo mknod-refused\n"
		"grep -c ' / / ' /proc/self/mountinfo; grep -vc -e nosuid /proc/self/mountinfo\n"
		"ls -A /run/user/$(id -u) | wc -l; ls /sys/class/net; touch /sys/x 2>/dev/null || "
		"echo sys-ro\n");
	check(rc == 0, "a box starts and ends");
	check(r.layers > 0 && r.degraded == 0, "no layer is missing");
	check(says("pids=4") || says("pids=5"), "/proc shows the sandbox's processes only");
	check(says("self=2") && says("ppid=1"), "the agent is process 2, its parent pid 1");
	char line[128], host[65] = "";
	snprintf(line, sizeof(line), "uid=%u", user);
	check(says(line), "it has the user's own number");
	snprintf(line, sizeof(line), user ? "map=%u %u 1" : "map=%u %u 4294967295", user, user);
	check(says(line), "the map is the %s", user ? "one user" : "whole identity");
	gethostname(host, sizeof(host) - 1);
	snprintf(line, sizeof(line), "host=%s", host);
	check(says(line), "the host's name is kept");
	const char *caps = user ? "0000000000000000" : "00000000000005fb";
	snprintf(line, sizeof(line), "CapBnd:%s", caps);
	check(says(line), "the bounding set is %s", caps);
	snprintf(line, sizeof(line), "CapPrm:%s", caps);
	check(says(line) && says("CapInh:0000000000000000") && says("CapAmb:0000000000000000"),
	      "the capabilities are %s", caps);
	check(says("NoNewPrivs:1") && says("Seccomp:2"), "no_new_privs and the filter are on");
	check(says("fds=0 1 2 3"), "no descriptor but the three (and ls's own) is open");
	check(says("init_env=0"), "pid 1 shows no memory of the monitor's");
	check(says("node=null") && says("node=zero") && says("node=full") && says("node=random") &&
		      says("node=urandom") && says("node=tty") && says("nullok") && says("4"),
	      "/dev has the six nodes and they work");
	check(says("ptmx") && says("shm") && says("mqueue"), "/dev has ptmx, shm and mqueue");
	check(says("/proc/self/fd") && says("/proc/self/fd/0") && says("text"),
	      "/dev/stdin can be opened");
	check(says("lo") && says("1"), "the network is lo without a route");
	check(says("sysctl-refused") && says("drop-refused") && says("sysrq-refused"),
	      "/proc/sys and sysrq-trigger cannot be written");
	check(says("0"), "no further user namespace is allowed");
	check(says("unshare-refused") && says("unshare-m-refused"), "namespaces cannot be made");
	check(says("mount-refused") && says("umount-refused"),
	      "nothing can be mounted or unmounted");
	check(says("mknod-refused"), "no device can be made");
	check(says("sys-ro"), "/sys is read-only");
	check(r.read_agent, "the entered monitor reads the agent's memory");
	check(r.monitor_caps == (0x80000ULL | (user ? 0 : 0x5fbULL)),
	      "the entered monitor's powers are CAP_SYS_PTRACE and the agent's (%llx)",
	      r.monitor_caps);
}

static int count_changes(const struct change *c, void *arg)
{
	char *text = arg;
	size_t len = strlen(text);
	if (strncmp(c->path, base, strlen(base)) == 0)
		snprintf(text + len, 4096 - len, "%c%s\n", "AMD"[c->kind],
			 c -> path + strlen(base));
	return 0;
}

/* As the user, in a process of its own. */
static void as_user(void (*f)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (user && geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(user) < 0 || setuid(user) < 0))
			_exit(1);
		f();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void write_changes(void)
{
	static struct overlay o;
	static char text[4096];
	char path[128];
	struct err err = { 0 };
	snprintf(path, sizeof(path), "%s/state/s1", base);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (overlay_load(dir, &o, &err) == 0)
		upper_walk(&o, count_changes, text, &err);
	snprintf(path, sizeof(path), "%s/changes", base);
	FILE *f = fopen(path, "w");
	if (f) {
		fprintf(f, "%s%s", text, err.text);
		fclose(f);
	}
	overlay_finish(&o);
}

static void discard(void)
{
	char path[128];
	struct err err = { 0 };
	snprintf(path, sizeof(path), "%s/state/s1", base);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (overlay_discard(dir, &err) < 0)
		printf("# %s\n", err.text);
}

static void make_host_files(void)
{
	char command[1024];
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p w/dir state && echo old >w/kept && echo old >w/changed && "
		 "echo old >w/deleted && echo 1 >w/dir/a && echo s3cret >w/secret && mkdir -p "
		 "w/keys && "
		 "echo k >w/keys/k && ln -s secret w/link && cp /bin/true w/noexec && chmod 644 "
		 "w/noexec",
		 base);
	if (system(command) != 0)
		printf("# cannot make the host's files\n");
}

static void writes_land_in_the_layers(void)
{
	struct run r = { .cwd = base };
	char script[2048], path[256];
	discard();
	snprintf(script, sizeof(script),
		 "cd w && echo new >changed && echo new >added && rm deleted && rm -r dir && mkdir "
		 "dir && "
		 "echo 2 >dir/b && chmod 600 kept && ls -A ../state | wc -l && echo done\n"
		 "touch /tmp/vsandbox-box-tmp /var/tmp/vsandbox-box-tmp && echo tmp-ok\n"
		 "touch %s/state/x 2>/dev/null || echo state-refused\n"
		 "ls %s/state/s1 2>/dev/null || echo state-hidden; grep -c upperdir= "
		 "/proc/self/mountinfo >/dev/null\n"
		 "d=$(sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' /proc/self/mountinfo | head -n 1); "
		 "ls -d \"$d\" 2>/dev/null || echo upper-hidden",
		 base, base);
	int rc = shell(&r, script);
	check(rc == 0 && says("done"), "the agent writes, deletes and replaces");
	check(says("tmp-ok"), "/tmp and /var/tmp take files");
	check(says("state-refused") && says("state-hidden") && says("upper-hidden") && says("0"),
	      "the state directory is masked");
	check(exists("/w/deleted") && exists("/w/dir/a") && !exists("/w/added") &&
		      access("/tmp/vsandbox-box-tmp", F_OK) < 0,
	      "the host is as it was");
	as_user(write_changes);
	snprintf(path, sizeof(path), "%s/changes", base);
	FILE *f = fopen(path, "re");
	output[f ? fread(output, 1, sizeof(output) - 1, f) : 0] = '\0';
	if (f)
		fclose(f);
	check(strcmp(output,
		     "A/w/added\nM/w/changed\nD/w/deleted\nD/w/dir/a\nA/w/dir/b\nM/w/kept\n") == 0,
	      "the walk tells exactly that");
	rc = shell(&r, "cat w/added w/changed; ls w/deleted 2>/dev/null || echo gone");
	check(rc == 0 && says("new") && says("gone"), "a session entered again finds its changes");
	as_user(discard);
	check(!exists("/state/s1/layers"), "discard removes the layers");
}

static void git_clones_locally(void)
{
	struct run r = { 0 };
	if (access("/usr/bin/git", X_OK) < 0) {
		skip("git clone --local works", "no git");
		return;
	}
	int rc = shell(&r, "set -e; export HOME=$PWD GIT_CONFIG_GLOBAL=/dev/null; git init -q r && "
			   "cd r && echo x >f && git add f && "
			   "git -c user.name=a -c user.email=b commit -qm x && cd .. && git clone "
			   "-q --local r c && cat c/f");
	check(rc == 0 && says("x"), "git clone --local works within new files");
	as_user(discard);
}

static void commands_that_cannot_start(void)
{
	char name[128];
	struct run r = { .argv = (char *[]){ "no-such-command", NULL } };
	int rc = run(&r);
	check(rc == 127 && (r.seen & SEEN_EXEC_FAILED) && r.exec_errno == ENOENT,
	      "an unknown command is ENOENT and 127");
	snprintf(name, sizeof(name), "%s/w/noexec", base);
	r = (struct run){ .argv = (char *[]){ name, NULL } };
	rc = run(&r);
	check(rc == 126 && (r.seen & SEEN_EXEC_FAILED) && r.exec_errno == EACCES,
	      "a file without permission is EACCES and 126");
	r = (struct run){ .cwd = "/nonexistent/dir", .argv = (char *[]){ "true", NULL } };
	rc = run(&r);
	check(rc == -1 && strstr(r.text, "/nonexistent/dir"),
	      "a missing working directory is named");
}

static void ends_are_told(void)
{
	struct run r = { 0 };
	check(shell(&r, "exit 7") == 7, "the exit code comes through");
	r = (struct run){ 0 };
	check(shell(&r, "kill -USR1 $$") == 128 + SIGUSR1 && WIFSIGNALED(r.status),
	      "so does a signal");
	r = (struct run){ .stop_and_go = true };
	int rc = shell(&r, "kill -STOP $$; sleep 0.1; exit 3");
	check(rc == 3 && r.seen == (SEEN_STOPPED | SEEN_CONTINUED),
	      "stops and continuations are told");
	r = (struct run){ .stop_and_go = true, .signal = SIGTERM };
	rc = shell(&r, "trap 'exit 9' TERM; kill -STOP $$; sleep 1000 & wait");
	check(rc == 9, "a signal reaches the agent through init");
	r = (struct run){ .enter = true };
	rc = shell(&r, "trap '' TERM; kill -TERM 0 && sleep 0.1; exit 6");
	check(rc == 6, "kill(0) does not reach the monitor, whose process group the agent shares");
	r = (struct run){ 0 };
	rc = shell(&r, "sleep 1000 & exec >/dev/null; sleep 1000 & exit 4");
	check(rc == 4, "what the agent leaves running goes with it");
}

/* Dead; whoever inherited it may not have buried it yet. */
static bool gone(pid_t pid)
{
	char path[64], state = '?';
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (unsigned i = 0; i < 6000; i++) {
		cleanup_file FILE *f = fopen(path, "re");
		if (!f || (fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z'))
			return true;
		usleep(10000);
	}
	return false;
}

static void terminals_work(void)
{
	struct run r = { .pty = true };
	int rc = shell(&r,
		       "tty; echo hello >/dev/tty && echo own; stty size >/dev/null && echo asked; "
		       "exec 3<>/dev/ptmx && ls /dev/pts");
	check(rc == 0 && says("/dev/console") && says("own") && says("asked"),
	      "the terminal outside has a name and is /dev/tty");
	check(says("0"), "terminals made inside are the sandbox's own");
}

static void the_monitor_takes_the_tree_along(void)
{
	for (int enter = 0; enter <= 1; enter++) {
		int die[2];
		if (pipe2(die, O_CLOEXEC) < 0)
			exit(1);
		struct run r = { .die = true, .die_fd = die[0], .enter = enter };
		if (write(die[1], "x", 1) != 1)
			exit(1);
		int rc = shell(&r, "sleep 1000 & sleep 1000");
		check(rc >= 0 && r.init_pid > 0 && gone(r.init_pid),
		      "a killed monitor takes the tree along (%s)", enter ? "inside" : "outside");
		close(die[0]);
		close(die[1]);
	}
}

static void policies_shape_the_tree(void)
{
	struct policy_pattern items[4] = { 0 };
	char host_file[128];
	struct run r = { 0 };
	static char secret[256], keys[256];
	snprintf(secret, sizeof(secret), "%s/w/secret", base);
	snprintf(keys, sizeof(keys), "%s/w/keys/**", base);
	struct err err = { 0 };
	pattern_compile_path(secret, &items[0].pattern, &err);
	pattern_compile_path(keys, &items[1].pattern, &err);
	pattern_compile_path("/nonexistent-thing", &items[2].pattern, &err);
	r.policy.hide = (struct policy_patterns){ .items = items, .count = 3, .present = true };
	int rc = shell(&r, "cat w/secret w/link 2>/dev/null | wc -c; ls -A w/keys | wc -l; "
			   "rm w/secret 2>/dev/null || echo rm-refused; cat w/kept");
	check(rc == 0 && says("0") && says("rm-refused") && says("old"),
	      "hidden files and directories are empty, by links too");

	static char work[256];
	snprintf(work, sizeof(work), "%s/w/**", base);
	struct policy_pattern allowed[2] = { 0 };
	pattern_compile_path(work, &allowed[0].pattern, &err);
	r = (struct run){ 0 };
	r.policy.allowed_read =
		(struct policy_patterns){ .items = allowed, .count = 1, .present = true };
	r.policy.allowed_write = r.policy.allowed_read;
	rc = shell(&r, "cat w/kept; echo x >w/fenced && echo wrote; ls .. >/dev/null 2>&1 || echo "
		       "ls-refused\n"
		       "(: >outside) 2>/dev/null || echo write-refused; (echo note >>/dev/stderr) "
		       "&& echo std");
	check(rc == 0 && says("old") && says("wrote") && says("ls-refused") &&
		      says("write-refused") && says("std"),
	      "lists of subtrees hold without the monitor");

	r = (struct run){ 0 };
	r.policy.workspace = WORKSPACE_READ_ONLY;
	rc = shell(&r, "(echo x >w/kept) 2>/dev/null || echo refused; cat w/kept; touch /tmp/y && "
		       "echo tmp");
	check(rc == 0 && says("refused") && says("old") && says("tmp"), "a read-only workspace is");

	r = (struct run){ .cwd = host_file };
	snprintf(host_file, sizeof(host_file), "%s/w", base);
	r.policy.workspace = WORKSPACE_DIRECT;
	rc = shell(&r, "echo direct >through");
	check(rc == 0 && exists("/w/through"), "a direct workspace is the host's");
	snprintf(host_file, sizeof(host_file), "%s/w/through", base);
	unlink(host_file);

	r = (struct run){ 0 };
	r.policy.net = NET_HOST;
	rc = shell(&r,
		   "ls /sys/kernel >/dev/null && echo sys; touch /sys/x 2>/dev/null || echo ro");
	check(rc == 0 && says("sys") && says("ro"),
	      "the host's network comes with a read-only /sys");
}

static void limits_hold(void)
{
	struct run r = { 0 };
	r.policy.limits.open_files = 32;
	check(shell(&r, "ulimit -n") == 0 && says("32"), "open files are limited");
	r = (struct run){ 0 };
	r.policy.limits.pids = 20;
	int rc = shell(
		&r,
		"i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done 2>/dev/null; echo all");
	if (rc == -1 && r.rc == -ENOENT)
		skip("processes are limited", "no pids control group");
	else
		check(rc != -1 && !says("all"), "processes are limited");
	r = (struct run){ 0 };
	r.policy.limits.memory_bytes = 64 << 20;
	rc = shell(&r, "head -c 200000000 /dev/zero | tail -c 200000000 | wc -c");
	if (user) {
		check(rc == -1 && strstr(r.text, "--allow-degraded cgroup"),
		      "a limit that cannot be kept is refused by name");
		r.degraded_ok = 1U << LAYER_CGROUP;
		r.rc = 0;
		rc = shell(&r, "echo on");
		check(rc == 0 && says("on") && r.degraded == 1U << LAYER_CGROUP,
		      "or noted as missing where that is allowed");
	} else if (rc == -1) {
		skip("memory is limited", r.text);
	} else {
		check(!says("200000000"), "memory is limited");
	}
}

static void all(uid_t as)
{
	char command[256];
	user = as;
	kind = user ? "rootless" : "rootful";
	snprintf(base, sizeof(base), "/tmp/vsandbox-box-XXXXXX");
	if (!mkdtemp(base) || chown(base, user, user) < 0)
		exit(1);
	setenv("HOME", base, 1);
	as_user(make_host_files);
	what_is_seen_inside();
	writes_land_in_the_layers();
	git_clones_locally();
	commands_that_cannot_start();
	ends_are_told();
	terminals_work();
	the_monitor_takes_the_tree_along();
	policies_shape_the_tree();
	limits_hold();
	as_user(discard);
	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", base, base);
	if (system(command) != 0)
		printf("# %s is left\n", base);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	if (geteuid() == 0) {
		all(0);
		all(12345);
	} else {
		all(geteuid());
	}
	printf("1..%u\n", count);
	return failures != 0;
}
