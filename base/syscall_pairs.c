#include "base/syscall_pairs.h"

#include <asm/socket.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef TCP_TX_DELAY /* Linux 5.2 */
#define TCP_TX_DELAY 37
#endif

/*
 * setsockopt(2): no other device, route or peer comes of these, and no message leaves by them.
 * Left out, among others: SO_BINDTODEVICE, SO_BINDTOIFINDEX, IP_UNICAST_IF (another device), IP_OPTIONS, IPV6_RTHDR
 * and the other extension headers (another first hop), IP_PKTINFO's sticky form, TCP_REPAIR, TCP_ULP,
 * TCP_FASTOPEN_CONNECT (connects with what is written), IPV6_ADDRFORM, the *_SOURCE_* memberships.
 * IP_ADD_MEMBERSHIP is refused to stream sockets by the kernel itself.
 */
static const struct arg_pair setsockopt_pairs[] = {
	/* of sockets that are never handed over */
	{ IPPROTO_UDP, SYSCALL_PAIR_ANY },
	{ SOL_NETLINK, SYSCALL_PAIR_ANY },
	{ SOL_SOCKET, SO_REUSEADDR },
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_SNDBUF },
	{ SOL_SOCKET, SO_RCVBUF },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_REUSEPORT },
	{ SOL_SOCKET, SO_PASSCRED },
	{ SOL_SOCKET, SO_PASSSEC },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, SO_RCVTIMEO_OLD },
	{ SOL_SOCKET, SO_SNDTIMEO_OLD },
	{ SOL_SOCKET, SO_RCVTIMEO_NEW },
	{ SOL_SOCKET, SO_SNDTIMEO_NEW },
	{ SOL_SOCKET, SO_ATTACH_FILTER },
	{ SOL_SOCKET, SO_DETACH_FILTER },
	{ SOL_SOCKET, SO_LOCK_FILTER },
	{ SOL_SOCKET, SO_TIMESTAMP_OLD },
	{ SOL_SOCKET, SO_TIMESTAMPNS_OLD },
	{ SOL_SOCKET, SO_TIMESTAMPING_OLD },
	{ SOL_SOCKET, SO_TIMESTAMP_NEW },
	{ SOL_SOCKET, SO_TIMESTAMPNS_NEW },
	{ SOL_SOCKET, SO_TIMESTAMPING_NEW },
	{ SOL_SOCKET, SO_RXQ_OVFL },
	{ SOL_SOCKET, SO_PEEK_OFF },
	{ SOL_SOCKET, SO_BUSY_POLL },
	{ SOL_SOCKET, SO_MAX_PACING_RATE },
	{ SOL_SOCKET, SO_INCOMING_CPU },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_MAXSEG },
	{ IPPROTO_TCP, TCP_CORK },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_SYNCNT },
	{ IPPROTO_TCP, TCP_LINGER2 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP },
	{ IPPROTO_TCP, TCP_QUICKACK },
	{ IPPROTO_TCP, TCP_CONGESTION },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_FASTOPEN },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	{ IPPROTO_TCP, TCP_SAVE_SYN },
	{ IPPROTO_TCP, TCP_INQ },
	{ IPPROTO_TCP, TCP_TX_DELAY },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_RECVORIGDSTADDR },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IP, IP_FREEBIND },
	{ IPPROTO_IP, IP_MINTTL },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ IPPROTO_IP, IP_MULTICAST_TTL },
	{ IPPROTO_IP, IP_MULTICAST_LOOP },
	{ IPPROTO_IP, IP_MULTICAST_ALL },
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP },
	{ IPPROTO_IP, IP_DROP_MEMBERSHIP },
	{ IPPROTO_IPV6, IPV6_V6ONLY },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP },
	{ IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP },
	{ IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_RECVERR },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_DONTFRAG },
	{ IPPROTO_IPV6, IPV6_FREEBIND },
	{ IPPROTO_IPV6, IPV6_ADDR_PREFERENCES },
	{ IPPROTO_IPV6, IPV6_AUTOFLOWLABEL },
	{ SYSCALL_PAIR_END, 0 },
};

const struct arg_pair *syscall_pairs(enum arg_pairs which)
{
	static const struct arg_pair *const pairs[ARG_PAIRS_COUNT] = {
		[ARG_PAIRS_SETSOCKOPT] = setsockopt_pairs,
	};
	return which < ARG_PAIRS_COUNT ? pairs[which] : NULL;
}

bool syscall_pairs_hold(const struct arg_pair *pairs, const uint64_t args[static SYSCALL_ARGS])
{
	uint32_t first = (uint32_t)args[1], second = (uint32_t)args[2];
	for (; pairs->first != SYSCALL_PAIR_END; pairs++)
		if (pairs->first == first &&
		    (pairs->second == second || pairs->second == SYSCALL_PAIR_ANY))
			return true;
	return false;
}
