/* When the processor is busy: who comes first. Of the calling thread; its threads and children are born without. */
#pragma once

/*
 * Gets the processor soon though hundreds of others want it: as root by its niceness, else at least by
 * short turns, which are scheduled sooner (6.12; older kernels know none, and nothing changes).
 */
void priority_raise(void);

/*
 * For little work that a person waits for: before all others, where that is allowed (root, RLIMIT_RTPRIO), else
 * as priority_raise. Against hundreds even a large share of the processor is soon used up.
 */
void priority_urgent(void);
