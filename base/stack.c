#include "base/stack.h"

#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 4096, LEFT = PAGE, DEPTH = 64 * PAGE };

void stack_shed(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);
	/* ENOMEM says that the stack never reached that far down; what there is of it goes all the same */
	(void)madvise((void *)(here - DEPTH), DEPTH - LEFT, MADV_DONTNEED);
}
