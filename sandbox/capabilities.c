/*
 * By capset(2) and prctl(2) directly. libcap-ng asks /proc/PID/status first: 0.2 ms for each
 * task of the start, and with --allow-degraded proc the file is another process's.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/box_private.h"

#define CAP_BIT(c) (1ULL << (c))

/*
 * What root keeps over its own files and processes inside, as containers do.
 * Mustn't hold SYS_ADMIN (mounts), MKNOD, NET_RAW, NET_ADMIN, SYS_PTRACE.
 */
static const uint64_t root_caps = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) |
				  CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_KILL) |
				  CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETPCAP) |
				  CAP_BIT(CAP_NET_BIND_SERVICE);

/* Should come before set_caps: dropping from the bounding set wants CAP_SETPCAP. */
static int bound_caps(uint64_t keep, const char *who, struct err *err)
{
	for (unsigned c = 0; c < 64; c++) {
		if (keep & CAP_BIT(c))
			continue;
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break; /* the kernel knows no more */
		return err_sys(err, errno, "capabilities: cannot bound those of %s", who);
	}
	return 0;
}

static int set_caps(uint64_t caps, const char *who, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	for (unsigned i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(caps >> (32 * i));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		return err_sys(err, errno, "capabilities: cannot reduce those of %s", who);
	return 0;
}

int capabilities_of_agent(bool rootful, struct err *err)
{
	uint64_t caps = rootful ? root_caps : 0;
	/* Should bound them too: a program with file capabilities mustn't bring any back. */
	int rc = bound_caps(caps, "the agent", err);
	return rc < 0 ? rc : set_caps(caps, "the agent", err);
}

int capabilities_of_init(bool rootful, struct err *err)
{
	/* signals for an agent that has changed its user */
	uint64_t caps = rootful ? CAP_BIT(CAP_KILL) : 0;
	int rc = bound_caps(0, "init", err);
	return rc < 0 ? rc : set_caps(caps, "init", err);
}

int capabilities_of_monitor(bool rootful, const struct box_plan *plan, struct err *err)
{
	/* Should read what it judges, and mustn't be able to do more than the agent where it acts for it. */
	uint64_t caps = (rootful ? root_caps : 0) | CAP_BIT(CAP_SYS_PTRACE);
	/* Should be able to listen where any server would; ports of the host are not in this network. */
	if (plan && (plan->net == NET_ALLOWLIST ||
		     (plan->net == NET_NONE && plan->policy->host_port_count)))
		caps |= CAP_BIT(CAP_NET_BIND_SERVICE);
	return set_caps(caps, "the monitor", err);
}
