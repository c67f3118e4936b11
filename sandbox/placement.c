#include "sandbox/placement.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	FAR_NS =
		30000, /* between a wake on the same processor (10 us with all around it) and on another */
	SPELL = 256, /* kept near in a row, then one is let go to see */
	SLOW_MAX = 2,
	REST = 256,
};

/* False: it is confined by somebody else, or may not be. */
static bool confine(pid_t tid, const cpu_set_t *here, cpu_set_t *ret_before)
{
	cpu_set_t both;
	if (sched_getaffinity(tid, sizeof(*ret_before), ret_before) < 0)
		return false;
	CPU_AND(&both, ret_before, here);
	return CPU_EQUAL(&both, here) && !CPU_EQUAL(ret_before, here) &&
	       sched_setaffinity(tid, sizeof(*here), here) == 0;
}

static void release(struct placement *p, pid_t tid, cpu_set_t *before)
{
	cpu_set_t now;
	if (sched_getaffinity(tid, sizeof(now), &now) < 0 || !CPU_EQUAL(&now, &p->here))
		return; /* dead, or somebody has set it */
	/* Whoever may use every processor that is there may use one that comes later too. */
	if (!p->online)
		p->online = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	if ((unsigned)CPU_COUNT(before) == p->online)
		memset(before, 0xff, sizeof(*before));
	sched_setaffinity(tid, sizeof(*before), before);
}

/* On the processor where we stay; from the first time on. The caller first: it cannot move, we may still have to. */
static bool confine_both(struct placement *p, pid_t tid)
{
	if (!p->staying) {
		int here = sched_getcpu();
		if (here < 0 || here >= CPU_SETSIZE)
			return false;
		CPU_ZERO(&p->here);
		CPU_SET((size_t)here, &p->here);
	}
	if (tid <= 0 || !confine(tid, &p->here, &p->caller))
		return false;
	if (!p->staying)
		p->staying = confine(0, &p->here, &p->ours);
	if (!p->staying)
		release(p, tid, &p->caller);
	return p->staying;
}

bool placement_begin(struct placement *p, pid_t tid)
{
	bool confined = p->narrow_left > 0 && confine_both(p, tid);
	p->begun_ns = clock_ns(CLOCK_MONOTONIC);
	return confined;
}

void placement_leave(struct placement *p)
{
	if (p->staying)
		release(p, 0, &p->ours);
	p->staying = false;
	p->narrow_left = 0;
	p->slow = 0;
}

void placement_end(struct placement *p, pid_t tid, bool confined)
{
	bool far = clock_ns(CLOCK_MONOTONIC) - p->begun_ns > (uint64_t)FAR_NS;
	if (confined) {
		release(p, tid, &p->caller);
		p->slow += far ? 1 : 0;
		if (p->slow > SLOW_MAX) /* the processors are busy: near is no nearer */
			p->rest = REST;
		if (--p->narrow_left == 0 || p->rest)
			placement_leave(p);
		return;
	}
	placement_leave(p);
	if (p->rest)
		p->rest--;
	else if (far)
		p->narrow_left = SPELL;
}
