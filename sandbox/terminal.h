/*
 * /dev/tty for a monitor that has left the terminal's session. Left it has, because the kernel shares the
 * processor out between sessions (autogroups): in the agent's own, a pause of a thousand busy threads would wait
 * its turn among them. But /dev/tty is the caller's session's, and its node under another name may be
 * forbidden (su): so a process that stays behind opens it. It can do nothing else.
 */
#pragma once

#include <stdint.h>

/* Before setsid: starts that process. Its socket; -ENXIO: there is no terminal; -errno. It ends with the socket. */
int terminal_keep(void);
/* A new descriptor of /dev/tty with @flags, close-on-exec; -errno. One thread at a time. */
int terminal_open(int keeper_fd, uint64_t flags);
