#include "base/priority.h"

#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"

enum { TURN_NS = 100 * 1000, FIRST = -20 };

static int set(__u32 policy, int nice, unsigned priority)
{
	struct kernel_sched_attr attr = { .size = sizeof(attr),
					  .policy = policy,
					  .flags = SCHED_FLAG_RESET_ON_FORK,
					  .nice = nice,
					  .priority = priority,
					  .runtime = policy == SCHED_OTHER ? TURN_NS : 0 };
	return (int)syscall(SYS_sched_setattr, 0, &attr, 0);
}

void priority_raise(void)
{
	if (set(SCHED_OTHER, FIRST, 0) < 0)
		set(SCHED_OTHER, getpriority(PRIO_PROCESS, 0), 0);
}

void priority_urgent(void)
{
	if (set(SCHED_RR, 0, 1) < 0)
		priority_raise();
}
