/*
 * A runtime that is none: in a mount namespace of its own it loads a filter with a listener, sends it in one of
 * several ways, and executes a program. Prints "exec: ERRNO-NAME" when that fails.
 *
 *   fake SOCKET WAY JSON PROGRAM [ARG...]      "%p" in JSON stands for its process number
 *
 * WAY: whole, split (a byte at a time), two (a pipe first, in fds as well), none (no descriptor), wrong (a pipe
 * instead), leave (connects and leaves), stay (the connection is kept), half (and never finishes)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static int filter(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(insns) / sizeof(insns[0]), insns };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	if (fd < 0)
		die("seccomp");
	return fd;
}

static void send_with(int to, const char *text, size_t len, const int *fds, unsigned count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)text, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (count) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	if (sendmsg(to, &h, MSG_NOSIGNAL) < 0)
		perror("sendmsg");
}

int main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	static char json[3 << 20];
	int pipes[2];
	if (argc < 5 || strlen(argv[1]) >= sizeof(at.sun_path) || pipe(pipes) < 0)
		return 2;
	strcpy(at.sun_path, argv[1]);
	const char *way = argv[2], *p = strstr(argv[3], "%p");
	snprintf(json, sizeof(json), "%.*s", (int)(p ? p - argv[3] : (long)strlen(argv[3])),
		 argv[3]);
	if (p)
		snprintf(json + strlen(json), 1000, "%d%s", getpid(), p + 2);
	if (!strcmp(way, "long")) { /* a text that never ends */
		size_t n = strlen(json);
		memset(json + n, ' ', (2 << 20) - n);
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		die("namespace");
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("connect");
	if (!strcmp(way, "leave")) {
		close(sock);
		return 0;
	}
	int listener = filter();
	int fds[2] = { listener, -1 };
	unsigned count = 1;
	if (!strcmp(way, "two")) {
		fds[0] = pipes[0];
		fds[1] = listener;
		count = 2;
	} else if (!strcmp(way, "wrong")) {
		fds[0] = pipes[0];
	} else if (!strcmp(way, "none")) {
		count = 0;
	}
	size_t len = strlen(json);
	if (!strcmp(way, "split")) {
		send_with(sock, json, 1, fds, count);
		for (size_t i = 1; i < len; i++)
			send_with(sock, json + i, 1, NULL, 0);
	} else {
		send_with(sock, json, !strcmp(way, "half") ? len / 2 : len, fds, count);
	}
	close(listener);
	if (strcmp(way, "stay") != 0 && strcmp(way, "half") != 0)
		close(sock);
	execv(argv[4], argv + 4);
	printf("exec: %s\n", strerrorname_np(errno));
	return 1;
}
