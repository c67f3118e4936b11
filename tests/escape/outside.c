/* Things of the host: inherited descriptors, processes, sockets. run.sh provides the targets. */
#include "attack.h"

#include <dirent.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef AF_ALG
#define AF_ALG 38
#endif

static pid_t outer(void)
{
	const char *text = getenv("ATTACK_OUTER_PID");

	return text ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* run.sh starts us with the secret open as fd 7 and the host's root directory as fd 8. */
static int inherited_file(void)
{
	return reads_secret(7);
}

static int inherited_dir(void)
{
	char path[4096] = ".", cwd[4000];

	if (!getcwd(cwd, sizeof(cwd)))
		return skip("getcwd");
	snprintf(path, sizeof(path), "%s/secret.env", cwd + 1);
	return reads_secret(openat(8, path, O_RDONLY));
}

static int any_descriptor(void)
{
	int found = 0;

	for (int fd = 3; fd < 4096; fd++) {
		char path[64], target[256];
		ssize_t n;

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		note("fd %d is open: %s", fd, target);
		found++;
	}
	return verdict(found > 0);
}

/* A listener anywhere in a /proc that we can see could be answered by us. */
static int listener_scan(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	while (proc && (d = readdir(proc))) {
		for (int fd = 0; fd < 64; fd++) {
			char path[320], target[256];
			ssize_t n;

			snprintf(path, sizeof(path), "/proc/%s/fd/%d", d->d_name, fd);
			n = readlink(path, target, sizeof(target) - 1);
			if (n <= 0)
				continue;
			target[n] = '\0';
			if (strstr(target, "seccomp")) {
				note("%s -> %s", path, target);
				return SUCCEEDED;
			}
		}
	}
	if (proc)
		closedir(proc);
	return STOPPED;
}

static int see_outer(void)
{
	return verdict(outer() && kill(outer(), 0) == 0);
}

static int kill_outer(void)
{
	return verdict(outer() && kill(outer(), SIGURG) == 0);
}

static int stop_outer(void)
{
	return verdict(outer() && kill(outer(), SIGSTOP) == 0 && kill(outer(), SIGCONT) == 0);
}

static int pidfd_outer(void)
{
	int fd = outer() ? (int)syscall(SYS_pidfd_open, outer(), 0) : -1;

	return verdict(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGURG, NULL, 0) == 0);
}

static int proc_outer(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", outer());
	return verdict(access(path, F_OK) == 0);
}

/* Anything of ours in /proc: the monitor's memory and the launcher's exe would be in reach. */
static int see_launcher(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	while (proc && (d = readdir(proc))) {
		char path[320], target[4096];
		ssize_t n;

		if (d->d_name[0] < '2' || d->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/exe", d->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strstr(target, "/vsandbox")) {
			note("%s -> %s", path, target);
			return SUCCEEDED;
		}
	}
	if (proc)
		closedir(proc);
	return STOPPED;
}

/* The parent must not be the launcher, and pid 1 must survive its children. */
static int kill_all(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	kill(-1, SIGKILL);
	kill(1, SIGKILL);
	kill(1, SIGSTOP);
	waitpid(pid, NULL, 0);
	note("still judged: %s", open("secret.env", O_RDONLY) < 0 ? "yes" : "no");
	return access("plain.txt", F_OK) == 0 && open("secret.env", O_RDONLY) < 0 ? STOPPED
										  : SUCCEEDED;
}

static int exchange(int fd, const char *what)
{
	char reply[16] = "";

	if (write(fd, "ping", 4) != 4) {
		note("%s: write: %s", what, strerror(errno));
		return STOPPED;
	}
	return verdict(read(fd, reply, sizeof(reply) - 1) > 0 && !strcmp(reply, "pong"));
}

static int unix_connect(const char *name, bool abstract)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);

	if (fd < 0)
		return verdict(false);
	memcpy(sa.sun_path + abstract, name, strlen(name));
	if (connect(fd, (struct sockaddr *)&sa, len) != 0)
		return verdict(false);
	return exchange(fd, name);
}

static int unix_path(void)
{
	return unix_connect("host.sock", false);
}

static int unix_abstract(void)
{
	const char *name = getenv("ATTACK_ABSTRACT");

	return name ? unix_connect(name, true) : SKIPPED;
}

static int unix_absolute(void)
{
	char path[4096];

	if (!getcwd(path, sizeof(path) - 16) || strlen(path) > 90)
		return skip("getcwd");
	strcat(path, "/host.sock");
	return unix_connect(path, false);
}

static int unix_dgram(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "host.dgram" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return verdict(fd >= 0 &&
		       sendto(fd, "ping", 4, 0, (struct sockaddr *)&sa, sizeof(sa)) == 4);
}

static int unix_dgram_sendmsg(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "host.dgram" };
	struct iovec iov = { (char *)"ping", 4 };
	struct msghdr msg = {
		.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1
	};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return verdict(fd >= 0 && sendmsg(fd, &msg, 0) == 4);
}

static int unix_dgram_sendmmsg(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "host.dgram" };
	struct iovec iov = { (char *)"ping", 4 };
	struct mmsghdr msg = { .msg_hdr = { .msg_name = &sa,
					    .msg_namelen = sizeof(sa),
					    .msg_iov = &iov,
					    .msg_iovlen = 1 } };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return verdict(fd >= 0 && sendmmsg(fd, &msg, 1, 0) == 1);
}

static int unix_seqpacket(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "host.seq" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	return verdict(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

static int tcp_to(uint32_t address, bool v6, int flags)
{
	const char *port = getenv("ATTACK_TCP_PORT");
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6 };
	struct sockaddr *to = v6 ? (struct sockaddr *)&sa6 : (struct sockaddr *)&sa;
	socklen_t len = v6 ? sizeof(sa6) : sizeof(sa);
	char reply[16] = "";
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	if (!port || fd < 0)
		return verdict(false);
	sa.sin_addr.s_addr = htonl(address);
	sa.sin_port = sa6.sin6_port = htons((uint16_t)strtol(port, NULL, 10));
	sa6.sin6_addr.s6_addr[10] = sa6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(sa6.sin6_addr.s6_addr + 12, &sa.sin_addr, 4);
	if (flags ? sendto(fd, "ping", 4, flags, to, len) != 4 : connect(fd, to, len) != 0)
		return verdict(false);
	if (!flags)
		return exchange(fd, "tcp");
	return verdict(read(fd, reply, sizeof(reply) - 1) > 0);
}

static int tcp_loopback(void)
{
	return tcp_to(INADDR_LOOPBACK, false, 0);
}

static int tcp_any(void)
{
	return tcp_to(INADDR_ANY, false, 0);
}

static int tcp_mapped(void)
{
	return tcp_to(INADDR_LOOPBACK, true, 0);
}

static int tcp_fastopen(void)
{
	return tcp_to(INADDR_LOOPBACK, false, MSG_FASTOPEN);
}

static int family(int domain, int type, int protocol)
{
	return verdict(socket(domain, type, protocol) >= 0);
}

static int family_vsock(void)
{
	return family(AF_VSOCK, SOCK_STREAM, 0);
}

static int family_alg(void)
{
	return family(AF_ALG, SOCK_SEQPACKET, 0);
}

static int family_packet(void)
{
	return family(AF_PACKET, SOCK_RAW, 0);
}

static int family_raw(void)
{
	return family(AF_INET, SOCK_RAW, IPPROTO_RAW);
}

static int family_raw6(void)
{
	return family(AF_INET6, SOCK_RAW, IPPROTO_RAW);
}

static int family_uevent(void)
{
	return family(AF_NETLINK, SOCK_RAW, 15);
}

static int family_audit(void)
{
	return family(AF_NETLINK, SOCK_RAW, 9);
}

static int family_key(void)
{
	return family(AF_KEY, SOCK_RAW, 2);
}

static int family_xdp(void)
{
	return family(44, SOCK_RAW, 0);
}

static int family_bluetooth(void)
{
	return family(31, SOCK_RAW, 1);
}

static int family_pair_vsock(void)
{
	int sv[2];

	return verdict(socketpair(AF_VSOCK, SOCK_STREAM, 0, sv) == 0);
}

const struct attack attacks[] = {
	MUST(inherited_file),      MUST(inherited_dir),
	MUST(any_descriptor),      MAY(listener_scan),
	MUST(see_outer),           MUST(kill_outer),
	MUST(stop_outer),          MUST(pidfd_outer),
	MUST(proc_outer),          MAY(see_launcher),
	NEVER(kill_all),           MUST(unix_path),
	MUST(unix_absolute),       MUST(unix_abstract),
	MUST(unix_dgram),          MUST(unix_dgram_sendmsg),
	MUST(unix_dgram_sendmmsg), MUST(unix_seqpacket),
	MUST(tcp_loopback),        MUST(tcp_any),
	MUST(tcp_mapped),          MAY(tcp_fastopen),
	MAY(family_vsock),         MAY(family_alg),
	ROOT(family_packet),       ROOT(family_raw),
	ROOT(family_raw6),         MUST(family_uevent),
	MAY(family_audit),         MAY(family_key),
	MAY(family_xdp),           MAY(family_bluetooth),
	MAY(family_pair_vsock),    { 0 },
};
