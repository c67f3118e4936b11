#include "sandbox/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"

int listener_init(struct listener *l, int fd)
{
	struct seccomp_notif_sizes sizes;
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	if (sizes.seccomp_notif > LISTENER_BUFFER || sizes.seccomp_notif_resp > LISTENER_BUFFER)
		return -EOPNOTSUPP;
	*l = (struct listener){ .fd = fd,
				.notif_size = sizes.seccomp_notif,
				.resp_size = sizes.seccomp_notif_resp };
	/* The flag is passed by value. Older kernels lack it: slower, not less safe. */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0 &&
	    errno != EINVAL && errno != ENOTTY)
		return -errno;
	return 0;
}

int listener_receive(const struct listener *l, union notification *ret)
{
	memset(ret, 0, l->notif_size); /* the kernel insists */
	return ioctl(l->fd, SECCOMP_IOCTL_NOTIF_RECV, &ret->notif) < 0 ? -errno : 0;
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
	return ioctl(l->fd, SECCOMP_IOCTL_NOTIF_SEND, &full.resp) < 0 ? -errno : 0;
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

int listener_inject(const struct listener *l, uint64_t id, int fd, enum inject_flags flags)
{
	struct seccomp_notif_addfd addfd = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
		.newfd_flags = flags & INJECT_CLOEXEC ? O_CLOEXEC : 0,
	};
	return ioctl(l->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd) < 0 ? -errno : 0;
}
