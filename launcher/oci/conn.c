#include "launcher/oci/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"

enum { STEP = 65536, DEPTH = 32 };

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/*
 * Numbers in a claim are ours only if the peer counts as we do. One that has sent and ended already, as a
 * runtime may on a busy machine, can no longer be asked: it was root, ourselves, or a user who has one policy.
 */
static int check_pid_namespace(pid_t pid, struct err *err)
{
	char path[32];
	struct stat ours, theirs;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	if (stat("/proc/self/ns/pid", &ours) < 0)
		return err_sys(err, errno, "the agent's own namespaces cannot be seen");
	if (stat(path, &theirs) < 0) /* ENOENT; EACCES of one on its way out */
		return 0;
	if (ours.st_ino != theirs.st_ino)
		return err_set(err, EPERM, "the peer is in another pid namespace");
	return 0;
}

int oci_conn_open(struct oci_conn *c, int fd, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	*c = (struct oci_conn){ .fd = fd };
	int r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0
			? err_sys(err, errno, "the peer is not known")
			: 0;
	if (r == 0)
		r = check_pid_namespace(cred.pid, err);
	if (r == 0 && !(c->tokener = json_tokener_new_ex(DEPTH)))
		r = err_set(err, ENOMEM, "out of memory");
	if (r < 0) {
		oci_conn_close(c);
		return r;
	}
	c->uid = cred.uid;
	c->pid = cred.pid;
	return 0;
}

void oci_conn_close(struct oci_conn *c)
{
	scope_close(&c->fd);
	for (unsigned i = 0; i < c->fd_count; i++)
		scope_close(&c->fds[i]);
	if (c->tokener)
		json_tokener_free(c->tokener);
	*c = (struct oci_conn){ .fd = -1 };
}

/* Room in the control buffer for more than is kept: what does not fit is closed by the kernel. */
static void keep_fds(struct oci_conn *c, struct msghdr *h)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(h); m; m = CMSG_NXTHDR(h, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(m) + i * sizeof(fd), sizeof(fd));
			if (c->fd_count < OCI_CONN_FDS)
				c->fds[c->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

/* Bytes into @text; 0 at the end, -EAGAIN. */
static ssize_t receive(struct oci_conn *c, char text[static STEP])
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(OCI_CONN_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = STEP };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	keep_fds(c, &h);
	return n;
}

int oci_conn_read(struct oci_conn *c, struct oci_claim *ret, struct err *err)
{
	char text[STEP];
	if (c->begun_ms && now_ms() - c->begun_ms > OCI_CONN_PATIENCE_MS)
		return err_set(err, ETIMEDOUT, "its message is not whole after %d s",
			       OCI_CONN_PATIENCE_MS / 1000);
	ssize_t n = receive(c, text);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == 0 && c->have == 0)
		return -ENODATA;
	if (n <= 0)
		return err_set(err, n < 0 ? (int)-n : EBADMSG, "its message ends too soon");
	c->have += (size_t)n;
	if (!c->begun_ms)
		c->begun_ms = now_ms();
	if (c->have > OCI_CLAIM_MAX)
		return err_set(err, EMSGSIZE, "its message is longer than %d bytes", OCI_CLAIM_MAX);
	struct json_object *o = json_tokener_parse_ex(c->tokener, text, (int)n);
	enum json_tokener_error error = json_tokener_get_error(c->tokener);
	if (error == json_tokener_continue)
		return 0;
	int r = o ? oci_claim_read(o, ret, err)
		  : err_set(err, EBADMSG, "its message is no JSON: %s",
			    json_tokener_error_desc(error));
	json_object_put(o);
	return r < 0 ? r : 1;
}

/*
 * By its name, which the kernel gives: asked by ioctl a file of somebody's own file system answers when that
 * somebody likes, and all containers would wait.
 */
static bool is_listener(int fd)
{
	static const char name[] = "anon_inode:seccomp notify";
	char path[32], text[sizeof(name) + 1];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, text, sizeof(text));
	return n == (ssize_t)sizeof(name) - 1 && memcmp(text, name, sizeof(name) - 1) == 0;
}

int oci_conn_listener(struct oci_conn *c, const struct oci_claim *claim, struct err *err)
{
	if (claim->fd_index >= c->fd_count)
		return err_set(err, EBADMSG, "no descriptor came with it");
	if (!is_listener(c->fds[claim->fd_index]))
		return err_set(err, ENOTTY, "the descriptor that came is no seccomp listener");
	return take_fd(&c->fds[claim->fd_index]);
}
