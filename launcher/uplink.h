/* Starts the program that reports a session to the control plane (siblings/uplink.c). */
#pragma once

#include "base/err.h"
#include "launcher/session.h"

/*
 * For a session whose session.json is written. It lives on its own from then on: in its own process group, without our
 * terminal, until what there is to say is delivered. @server_fd: server_open. 0, -errno.
 */
int uplink_start(const struct session *s, int server_fd, struct err *err);

/*
 * Asks the server whether it knows the key. 0; -errno with what it said. With @flush what earlier sessions
 * left undelivered is delivered first; @ret_left, which may be NULL, gets the sessions that still have some.
 */
int uplink_check(const char *state_path, int server_fd, bool flush, unsigned *ret_left,
		 struct err *err);
