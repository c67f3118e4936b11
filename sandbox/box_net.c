/*
 * The sandbox's network: a loopback device and no way out. With an allowlist every address
 * there is, is local to it: a destination that was approved is a socket bound to that very
 * address, and what was not is refused by the kernel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "sandbox/box_private.h"

/* What connections seem to come from, so that it is not their own destination. */
static const char source_v4[] = "10.255.255.254", source_v6[] = "fd76:7361:6e64::2";

enum { LOOPBACK = 1, REQUEST_SIZE = 256 };

struct request {
	_Alignas(struct nlmsghdr) unsigned char bytes[REQUEST_SIZE];
};

static void add_attribute(struct request *r, unsigned short type, const void *data, size_t len)
{
	struct nlmsghdr h;
	memcpy(&h, r->bytes, sizeof(h));
	struct rtattr a = { .rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = type };
	memcpy(r->bytes + NLMSG_ALIGN(h.nlmsg_len), &a, sizeof(a));
	memcpy(r->bytes + NLMSG_ALIGN(h.nlmsg_len) + RTA_LENGTH(0), data, len);
	h.nlmsg_len = NLMSG_ALIGN(h.nlmsg_len) + (unsigned)RTA_ALIGN(a.rta_len);
	memcpy(r->bytes, &h, sizeof(h));
}

static struct request new_request(unsigned short type, const void *body, size_t len)
{
	struct request r = { 0 };
	struct nlmsghdr h = {
		.nlmsg_len = (unsigned)NLMSG_LENGTH(len),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
	};
	memcpy(r.bytes, &h, sizeof(h));
	memcpy(r.bytes + NLMSG_HDRLEN, body, len);
	return r;
}

static int carry_out(int fd, const struct request *r)
{
	struct nlmsghdr h;
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;
	memcpy(&h, r->bytes, sizeof(h));
	if (send(fd, r->bytes, h.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(fd, &answer, sizeof(answer), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

/* "address/32 dev lo", then "local default dev lo src address" in the local table. */
static int all_local(int fd, unsigned char family, const char *source)
{
	const unsigned loopback = LOOPBACK;
	unsigned char address[16];
	size_t len = family == AF_INET ? 4 : 16;
	inet_pton(family, source, address);
	struct ifaddrmsg a = { .ifa_family = family,
			       .ifa_prefixlen = (unsigned char)(len * 8),
			       .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
			       .ifa_index = LOOPBACK };
	struct request r = new_request(RTM_NEWADDR, &a, sizeof(a));
	add_attribute(&r, IFA_LOCAL, address, len);
	add_attribute(&r, IFA_ADDRESS, address, len);
	int rc = carry_out(fd, &r);
	if (rc < 0)
		return rc;
	struct rtmsg m = { .rtm_family = family,
			   .rtm_table = RT_TABLE_LOCAL,
			   .rtm_protocol = RTPROT_BOOT,
			   .rtm_scope = RT_SCOPE_HOST,
			   .rtm_type = RTN_LOCAL };
	r = new_request(RTM_NEWROUTE, &m, sizeof(m));
	add_attribute(&r, RTA_OIF, &loopback, sizeof(loopback));
	add_attribute(&r, RTA_PREFSRC, address, len);
	return carry_out(fd, &r);
}

int box_net_up(const struct box_plan *plan, struct err *err)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, errno, "network: cannot make a socket inside");
	struct ifreq request = { .ifr_name = "lo" };
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return err_sys(err, errno, "network: cannot bring the loopback device up");
	if (plan->net != NET_ALLOWLIST)
		return 0;
	cleanup_fd int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int rc = route < 0 ? -errno : all_local(route, AF_INET, source_v4);
	if (rc < 0)
		return err_sys(err, -rc, "network: cannot make every address local");
	rc = all_local(route, AF_INET6, source_v6);
	/* where IPv6 is switched off, connections by it fail as they do outside */
	if (rc < 0 && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP && rc != -EACCES)
		return err_sys(err, -rc, "network: cannot make every IPv6 address local");
	return 0;
}

int box_net_inherited(struct err *err)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	for (int fd = 0; fd <= 2; fd++) {
		int domain = AF_UNIX;
		socklen_t len = sizeof(domain);
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain != AF_UNIX)
			return err_set(err, EPERM,
				       "network: %s is a socket of the host's network, through "
				       "which the command could connect anywhere; put a pipe "
				       "between, as in: cat | vsandbox run ...",
				       names[fd]);
	}
	return 0;
}
