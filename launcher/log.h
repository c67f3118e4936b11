/*
 * Messages for people, on stderr, each in one write(2) and with errno
 * preserved. Nothing of ours goes to stdout but from verbs that print.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/*
 * Spares the screen of a program that draws all of it, or edits a line of it: from here on what is said waits while
 * the terminal behind stderr gives its keys away unread (no ICANON). So do those behind one that waits.
 */
void log_spare_screen(void);
/* Says what waits, where it may be said now. True when something still waits: again a little later. */
bool log_tend(void);
/* Nobody draws any more: says what waits, and everything at once from here on. */
void log_release(void);

/* "vsandbox: " and the text. Errors are shown even with --quiet. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Unless --quiet. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Only with --verbose. */
void log_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
