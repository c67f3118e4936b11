/* Where the server can be reached. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum listener_wire { LISTENER_PLAIN, LISTENER_TLS };
/*
 * A listening descriptor at the numeric @address. @port 0: any, see listener_port. -EPERM: not loopback, and no TLS to
 * come.
 */
int listener_open(const char *address, uint16_t port, enum listener_wire wire, struct err *err);
uint16_t listener_port(int fd);

/* How many connections there can be: raises the limit of open files for them. */
unsigned listener_room(void);
