#include "sandbox/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/kernel.h"
#include "sandbox/slate.h"

enum { REUSE_MS = 60000 };

static int measure(struct listener *l)
{
	struct seccomp_notif_sizes sizes;
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	if (sizes.seccomp_notif > LISTENER_BUFFER || sizes.seccomp_notif_resp > LISTENER_BUFFER)
		return -EOPNOTSUPP;
	*l = (struct listener){ .fd = -1,
				.notif_size = sizes.seccomp_notif,
				.resp_size = sizes.seccomp_notif_resp };
	return 0;
}

static int start(struct listener *l, int fd)
{
	l->fd = fd;
	/* The flag is passed by value. Older kernels lack it: slower, not less safe. */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0 &&
	    errno != EINVAL && errno != ENOTTY)
		return -errno;
	return 0;
}

static int receive(const struct listener *l, union notification *ret)
{
	memset(ret, 0, l->notif_size); /* the kernel insists */
	if (ioctl(l->fd, SECCOMP_IOCTL_NOTIF_RECV, &ret->notif) < 0)
		return -errno;
	slate_put(l->slate, l->number, ret->notif.id);
	return 0;
}

int listener_valid(const struct listener *l, uint64_t id)
{
	return ioctl(l->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0 ? -errno : 0;
}

static int send_response(const struct listener *l, const struct seccomp_notif_resp *resp)
{
	union {
		struct seccomp_notif_resp resp;
		unsigned char room[LISTENER_BUFFER];
	} full;
	memset(&full, 0, l->resp_size);
	full.resp = *resp;
	int r = ioctl(l->fd, SECCOMP_IOCTL_NOTIF_SEND, &full.resp) < 0 ? -errno : 0;
	slate_wipe(l->slate, l->number, resp->id);
	return r;
}

int listener_answer(const struct listener *l, uint64_t id, int64_t value)
{
	/* A positive error would be taken for a return value, so the sign is ours to keep. */
	struct seccomp_notif_resp resp = { .id = id };
	if (value < 0)
		resp.error = (int32_t)value;
	else
		resp.val = value;
	return send_response(l, &resp);
}

int listener_continue(const struct listener *l, uint64_t id)
{
	struct seccomp_notif_resp resp = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	return send_response(l, &resp);
}

/* The descriptor's number in the caller's table, or -errno. */
static int add_fd(const struct listener *l, struct seccomp_notif_addfd addfd, int fd,
		  enum inject_flags flags)
{
	addfd.srcfd = (uint32_t)fd;
	addfd.newfd_flags = flags & INJECT_CLOEXEC ? O_CLOEXEC : 0;
	int number = ioctl(l->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
	return number < 0 ? -errno : number;
}

int listener_inject(const struct listener *l, uint64_t id, int fd, enum inject_flags flags)
{
	int r = add_fd(l,
		       (struct seccomp_notif_addfd){ .id = id, .flags = SECCOMP_ADDFD_FLAG_SEND },
		       fd, flags);
	if (r < 0)
		return r;
	slate_wipe(l->slate, l->number, id);
	return 0;
}

int listener_put(const struct listener *l, uint64_t id, int fd, enum inject_flags flags)
{
	return add_fd(l, (struct seccomp_notif_addfd){ .id = id }, fd, flags);
}

int listener_place(const struct listener *l, uint64_t id, int fd, int number,
		   enum inject_flags flags)
{
	int r = add_fd(l,
		       (struct seccomp_notif_addfd){ .id = id,
						     .flags = SECCOMP_ADDFD_FLAG_SETFD,
						     .newfd = (uint32_t)number },
		       fd, flags);
	return r < 0 ? r : 0;
}

int listeners_init(struct listeners *l)
{
	*l = (struct listeners){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	return l->epoll_fd < 0 ? -errno : measure(&l->sizes);
}

/* One that hung up long ago, closed. Who had a call of it has seen its end within milliseconds. NULL: none. */
static struct listener *reuse(struct listeners *l)
{
	for (unsigned i = 0; l->growing && i < l->count; i++) {
		struct listener *one = l->all[i];
		uint64_t gone = __atomic_load_n(&one->gone_ms, __ATOMIC_ACQUIRE);
		if (!gone || clock_ms() - gone < REUSE_MS)
			continue;
		close(one->fd);
		return one;
	}
	return NULL;
}

/* Room for one more, in the list. */
static struct listener *make_room(struct listeners *l)
{
	struct listener **more = reallocarray(l->all, l->count + 1, sizeof(*more));
	if (!more)
		return NULL;
	l->all = more;
	struct listener *one = calloc(1, sizeof(*one));
	if (one)
		l->all[l->count++] = one;
	return one;
}

int listeners_add(struct listeners *l, int fd)
{
	return listeners_add_as(l, fd, &l->sizes);
}

int listeners_add_as(struct listeners *l, int fd, const struct listener *how)
{
	struct listener fresh = l->sizes;
	fresh.runtime = how->runtime;
	fresh.slate = how->slate;
	fresh.number = how->number;
	int r = start(&fresh, fd);
	if (r < 0)
		return r;
	struct listener *one = reuse(l);
	if (!one)
		one = make_room(l);
	if (!one)
		return -ENOMEM;
	*one = fresh;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = one };
	__atomic_add_fetch(&l->left, 1, __ATOMIC_RELAXED); /* before it can be received from */
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
		return 0;
	r = -errno;
	__atomic_sub_fetch(&l->left, 1, __ATOMIC_RELAXED);
	one->fd = -1; /* the caller's to close */
	one->gone_ms = clock_ms();
	return r;
}

/* With one listener the receive call itself waits: a call less for each notification. */
static int receive_only(struct listeners *l, union notification *ret)
{
	int r = receive(l->all[0], ret);
	struct pollfd p = { .fd = l->all[0]->fd };
	/* the caller died before we looked, or nobody is left */
	return r == -ENOENT && poll(&p, 1, 0) == 1 && p.revents & POLLHUP ? -EPIPE : r;
}

int listeners_receive(struct listeners *l, union notification *ret, struct listener **ret_from)
{
	if (l->count == 1 && !l->growing) {
		*ret_from = l->all[0];
		return receive_only(l, ret);
	}
	while (__atomic_load_n(&l->left, __ATOMIC_RELAXED) > 0) {
		struct epoll_event e;
		int n = epoll_wait(l->epoll_fd, &e, 1, -1);
		if (n < 0)
			return -errno;
		struct listener *one = e.data.ptr;
		*ret_from = one;
		/* A receive would wait for ever if nothing were there; with one receiver something is. */
		if (e.events & EPOLLIN)
			return receive(one, ret);
		epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, one->fd, NULL);
		__atomic_store_n(&one->gone_ms, clock_ms(), __ATOMIC_RELEASE);
		__atomic_sub_fetch(&l->left, 1, __ATOMIC_RELAXED);
	}
	return -EPIPE;
}
