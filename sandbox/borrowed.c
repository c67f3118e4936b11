#include "sandbox/borrowed.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

void borrowed_init(struct borrowed *b, int fd)
{
	*b = (struct borrowed){ .fd = fd };
	/* We are not in its foreground: without this a change of its mode would stop us. */
	if (fd >= 0)
		signal(SIGTTOU, SIG_IGN);
}

void borrowed_note(struct borrowed *b)
{
	b->taken = b->fd >= 0 && tcgetattr(b->fd, &b->before) == 0;
}

void borrowed_returned(struct borrowed *b)
{
	b->taken = false;
}

void borrowed_restore(struct borrowed *b)
{
	struct termios now;
	if (!b->taken || tcgetattr(b->fd, &now) < 0)
		return;
	b->taken = false;
	/* What a prompt changes, and nothing else: a shell that reads a line has changed more. */
	now.c_lflag |= b->before.c_lflag & (ICANON | ECHO);
	now.c_cc[VMIN] = b->before.c_cc[VMIN];
	now.c_cc[VTIME] = b->before.c_cc[VTIME];
	if (now.c_lflag == b->before.c_lflag && now.c_iflag == b->before.c_iflag &&
	    now.c_oflag == b->before.c_oflag &&
	    memcmp(now.c_cc, b->before.c_cc, sizeof(now.c_cc)) == 0)
		tcsetattr(b->fd, TCSANOW, &b->before);
}

void borrowed_finish(struct borrowed *b)
{
	b->taken = false;
	scope_close(&b->fd);
	b->fd = -1;
}
