#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>

#include "sandbox/box_private.h"

/*
 * What root keeps over its own files and processes inside, as containers do.
 * Mustn't hold SYS_ADMIN (mounts), MKNOD, NET_RAW, NET_ADMIN, SYS_PTRACE.
 */
static const unsigned root_caps[] = {
	CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,		CAP_KILL,
	CAP_SETGID, CAP_SETUID,	      CAP_SETPCAP, CAP_NET_BIND_SERVICE,
};
enum { ROOT_CAPS = sizeof(root_caps) / sizeof(root_caps[0]) };

static int add(unsigned capability, unsigned sets)
{
	return capng_update(CAPNG_ADD, (capng_type_t)sets, capability);
}

static int apply(capng_select_t sets, const char *who, struct err *err)
{
	int rc = capng_apply(sets);
	if (rc < 0)
		return err_sys(err, errno ? errno : EPERM,
			       "capabilities: cannot reduce those of %s (step %d)", who, -rc);
	return 0;
}

static void clear(void)
{
	/* Should be 0, "myself": the library remembers the number it had before a fork. */
	capng_setpid(0);
	capng_clear(CAPNG_SELECT_ALL);
}

int capabilities_of_agent(bool rootful, struct err *err)
{
	clear();
	for (unsigned i = 0; rootful && i < ROOT_CAPS; i++)
		add(root_caps[i], CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET);
	/* Should empty the bounding set too: a program with file capabilities mustn't bring any back. */
	return apply(CAPNG_SELECT_ALL, "the agent", err);
}

int capabilities_of_init(bool rootful, struct err *err)
{
	clear();
	if (rootful) /* signals for an agent that has changed its user */
		add(CAP_KILL, CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	return apply(CAPNG_SELECT_ALL, "init", err);
}

int capabilities_of_monitor(bool rootful, struct err *err)
{
	clear();
	/* Should read what it judges, and mustn't be able to do more than the agent where it acts for it. */
	add(CAP_SYS_PTRACE, CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	for (unsigned i = 0; rootful && i < ROOT_CAPS; i++)
		add(root_caps[i], CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	return apply(CAPNG_SELECT_CAPS, "the monitor", err);
}
