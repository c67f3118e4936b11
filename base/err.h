/* An error a person must be told: one bounded line, on the caller's stack. */
#pragma once

enum { ERR_TEXT_SIZE = 512 };

struct err {
	char text[ERR_TEXT_SIZE]; /* complete sentence without a newline; "" when none */
};

/*
 * Writes the text (truncated to fit) and returns -errnum, so that a failure is
 * one line: return err_set(err, EINVAL, "...", ...). @err may be NULL.
 */
int err_set(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set, with ": <text of errnum>" appended. */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
