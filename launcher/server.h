/*
 * The control plane that this host reports to: STATE/server.json, mode 0600, holds its URL, a key of
 * role agent and perhaps a CA file. It lies in the state directory because the box hides that whole
 * directory whatever the policy says. VSANDBOX_API_URL and VSANDBOX_API_KEY come before it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { SERVER_URL_SIZE = 1024, SERVER_KEY_SIZE = 256, SERVER_CA_SIZE = 4096 };

struct server {
	char url[SERVER_URL_SIZE]; /* without a slash at its end */
	char key[SERVER_KEY_SIZE];
	char ca[SERVER_CA_SIZE]; /* absolute path of a PEM file; "" the system's */
	bool plain;              /* nothing is masked on its way there; of no file, see config.h */
};

/*
 * A descriptor to read the server's JSON from, for the program that talks to it: what the environment
 * says, else the file. The caller owns it. The key leaves the environment with this, so that
 * /proc/PID/environ of no process forked from here on shows it. -ENOENT: there is no server; -errno.
 */
int server_open(int state_fd, struct err *err);
/* Reads and checks what server_open gave. */
int server_read(int fd, struct server *ret, struct err *err);
int server_save(int state_fd, const struct server *s, struct err *err);
/* As server_save, but only in memory. A descriptor, the caller's. */
int server_pass(const struct server *s, struct err *err);
/* 0; -ENOENT: there was none. */
int server_remove(int state_fd, struct err *err);

/* Should be https, or http to this host: a key never crosses a network in the clear. 0, -EINVAL. */
int server_set_url(struct server *s, const char *url, struct err *err);
int server_set_key(struct server *s, const char *key, struct err *err);
