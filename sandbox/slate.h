/*
 * Which calls were received and not answered, how far each process has come, and by which session, in memory that
 * outlives the monitor: the kernel hands each call out once, so who takes over a listener can answer those of its
 * predecessor only by their numbers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct slate;

enum { SLATE_SESSION_SIZE = 32 };

/* A descriptor of an empty one, to be kept by who is to outlive us; the caller's. -errno. */
int slate_create(void);
/* Maps one. NULL with the reason in @err; -EPROTO in it when @fd is no slate. */
struct slate *slate_open(int fd, struct err *err);
void slate_close(struct slate *s);

/* Whose calls they are: the id of the session that serves now, and of the last one that did ("" none did). */
void slate_sign(struct slate *s, const char *session);
void slate_signed(const struct slate *s, char ret[static SLATE_SESSION_SIZE]);

/* A call of listener @number was received; and answered. @s NULL: nothing is put down. */
void slate_put(struct slate *s, uint32_t number, uint64_t id);
void slate_wipe(struct slate *s, uint32_t number, uint64_t id);

/* Has the process behind listener @number begun its own program? Forgotten for one that is new. */
void slate_begin(struct slate *s, uint32_t number);
void slate_forget(struct slate *s, uint32_t number);
bool slate_begun(const struct slate *s, uint32_t number);

/* Calls @each for what stands there of @number, and wipes it. */
void slate_take(struct slate *s, uint32_t number, void (*each)(void *arg, uint64_t id), void *arg);
