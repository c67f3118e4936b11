/*
 * What the kernel alone takes: a bare supervisor that answers every notification
 * at once. Nothing that is notified can be cheaper than these figures on this
 * machine. Medians of 31 blocks, microseconds per call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

enum mode { NATIVE, CONTINUE, ADDFD };

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &m, 0) == 1 ? 0 : -1;
}

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(sock, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

static void work(long nr, const char *name)
{
	enum { BLOCKS = 31, CALLS = 300 };
	double block[BLOCKS];

	for (int b = -3; b < BLOCKS; b++) {
		double t = now_us();

		for (int i = 0; i < CALLS; i++) {
			if (nr == SYS_getppid) {
				syscall(SYS_getppid);
			} else {
				int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);

				if (fd < 0)
					_exit(1);
				close(fd);
			}
		}
		if (b >= 0)
			block[b] = (now_us() - t) / CALLS;
	}
	qsort(block, BLOCKS, sizeof(*block), compare);
	printf("%s %.3f\n", name, block[BLOCKS / 2]);
	fflush(stdout);
}

static void supervise(int listener, enum mode mode)
{
	struct seccomp_notif n;
	struct seccomp_notif_resp r;

	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	for (;;) {
		memset(&n, 0, sizeof(n));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) != 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (mode == ADDFD) {
			struct seccomp_notif_addfd a = { .id = n.id,
							 .flags = SECCOMP_ADDFD_FLAG_SEND };
			int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

			a.srcfd = (__u32)fd;
			ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
			close(fd);
			continue;
		}
		memset(&r, 0, sizeof(r));
		r.id = n.id;
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
	}
}

static void one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int run(long nr, enum mode mode, int pinned, const char *name)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };
	int pair[2], status;
	pid_t child, keeper;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		return 1;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pinned)
			one_cpu();
		if (mode != NATIVE) {
			int fd;

			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
					  SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
			if (fd < 0 || send_fd(pair[1], fd) != 0)
				_exit(77);
			close(fd);
		}
		work(nr, name);
		_exit(0);
	}
	if (mode == NATIVE) {
		waitpid(child, &status, 0);
		return status != 0;
	}
	close(pair[1]);
	keeper = fork();
	if (keeper == 0) {
		int listener = receive_fd(pair[0]);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pinned)
			one_cpu();
		if (listener >= 0)
			supervise(listener, mode);
		_exit(0);
	}
	close(pair[0]);
	waitpid(child, &status, 0);
	kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
	return status != 0;
}

int main(void)
{
	int bad = 0;

	bad |= run(SYS_getppid, NATIVE, 0, "getppid-native");
	bad |= run(SYS_openat, NATIVE, 0, "open-close-native");
	bad |= run(SYS_getppid, CONTINUE, 1, "notify-continue-one-cpu");
	bad |= run(SYS_getppid, CONTINUE, 0, "notify-continue");
	bad |= run(SYS_openat, CONTINUE, 1, "open-continue-one-cpu");
	bad |= run(SYS_openat, CONTINUE, 0, "open-continue");
	bad |= run(SYS_openat, ADDFD, 1, "open-addfd-one-cpu");
	bad |= run(SYS_openat, ADDFD, 0, "open-addfd");
	return bad;
}
