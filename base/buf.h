/*
 * A bounded text buffer over the caller's storage. Nothing is allocated; what
 * does not fit is dropped and remembered, so that one test at the end tells.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /* borrowed; NUL-terminated at all times once initialised */
	size_t size;
	size_t len;
	bool overflow; /* something was dropped since buf_init */
};

void buf_init(struct buf *b, char *storage, size_t size);
void buf_put(struct buf *b, const char *bytes, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t value);

/*
 * A JSON string with its quotes. Invalid UTF-8 bytes are written as the lone
 * surrogates \udc80..\udcff (as Python's surrogateescape), so that any path
 * survives the round trip.
 */
void buf_json(struct buf *b, const char *bytes, size_t len);

/*
 * Untrusted bytes for a terminal: control characters, invalid UTF-8, C1 and
 * bidirectional controls become \n, \t, \xNN or \u{NNNN}; the rest is kept.
 */
void buf_term(struct buf *b, const char *bytes, size_t len);
