/*
 * An errand: one command sent into a sandbox that runs already, over a socket that its keeper holds
 * inside. A job of a CI system has several scripts and one sandbox; each script is an errand.
 *
 * What goes in: a header with three descriptors (stdin, stdout, stderr), then the strings, then the script. After
 * that single bytes, each a signal for the command's process group. What comes back: four bytes, the wait
 * status. The end of the connection before that ends the command; an errand without a command ends the keeper.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { ERRAND_WORDS_MAX = 16384, ERRAND_TEXT_MAX = 8 << 20 };

struct errand {
	const char *cwd;
	char *const *argv; /* NULL-terminated; empty: the keeper is to end */
	char *const *envp; /* NULL-terminated */
	const char *
		script; /* put into a file of its own inside, which replaces argv's last word; NULL none */
	size_t script_len;
	int fds[3]; /* borrowed by the sender; owned by the receiver */
};

/* 0, -errno; -E2BIG beyond the limits. */
int errand_send(int sock, const struct errand *e, struct err *err);

/*
 * The receiver's copy; what @ret points to is one allocation, @ret_text, to be freed by the caller. Any bytes are
 * safe. 0; -EBADMSG; -errno.
 */
int errand_receive(int sock, struct errand *ret, void **ret_text);
