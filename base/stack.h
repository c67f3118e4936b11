/* The stack of a process that has done most of its work at its start. */
#pragma once

/*
 * Gives back what lies below the caller's frame but for a page: what the start has written there nobody reads again,
 * and each sandbox would pay for it. On the main thread only, whose stack has nothing else beneath it. It may fail,
 * which is no harm.
 */
void stack_shed(void);
