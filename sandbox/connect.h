/* Network calls that are made here, on a duplicate of the caller's socket. Private to sandbox/. */
#pragma once

#include <sys/socket.h>

#include "sandbox/watch.h"

/*
 * connect, bind with this copy of the address, which is allowed; answers the notification. A socket of another
 * network than the sandbox's is not touched, where it has one.
 */
void connect_here(struct worker *w, const struct sockaddr *sa, size_t len);
/* Waits, no longer leading, until @fd is connected or has failed. 0, -errno, -512 for a signal. */
int connect_wait(struct worker *w, int fd);
