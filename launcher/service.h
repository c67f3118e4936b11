/*
 * The service manager that started us, by its own protocols: sd_listen_fds(3), sd_notify(3). Without one,
 * nothing is done.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { SERVICE_FDS_MAX = 1024, SERVICE_NAME_SIZE = 64 };

/* A descriptor that was kept for us, or a socket that it listens on. */
struct service_fd {
	int fd; /* the caller's */
	char name[SERVICE_NAME_SIZE];
};

/* All that were passed to this process. Their number; *ret is to be freed. */
unsigned service_fds(struct service_fd **ret);

/* Is there a manager that could keep descriptors? */
bool service_there(void);
/* One datagram, lines of "NAME=value"; with @fd (-1 none). Failures are told, not acted on. */
void service_tell(const char *text, int fd);
