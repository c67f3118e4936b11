#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "sandbox/box_private.h"

int box_net_up(struct err *err)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, errno, "network: cannot make a socket inside");
	struct ifreq request = { .ifr_name = "lo" };
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return err_sys(err, errno, "network: cannot bring the loopback device up");
	return 0;
}
