/* Where the answer to a command of MySQL's protocol ends. Without CLIENT_DEPRECATE_EOF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MYSQL_REPLY_SHOWN = 32 }; /* bytes of a packet that are looked at */

enum mysql_shape {
	MYSQL_NONE,     /* no answer */
	MYSQL_ONE,      /* one packet */
	MYSQL_RESULT,   /* OK, an error, or columns and rows; perhaps several */
	MYSQL_PREPARED, /* a statement's number, its parameters and columns */
	MYSQL_ROWS,
	MYSQL_FIELDS,
};

enum mysql_progress { MYSQL_GOES_ON, MYSQL_OVER, MYSQL_MALFORMED };

enum mysql_phase { PHASE_FIRST, PHASE_COLUMNS, PHASE_COLUMNS_END, PHASE_ROWS, PHASE_COUNTED };

struct mysql_reply {
	enum mysql_shape shape;
	enum mysql_phase phase;
	uint64_t left;      /* packets, in the phases that count */
	uint32_t statement; /* PREPARED: its number */
	bool ok;            /* no error, so far */
};

void mysql_reply_begin(struct mysql_reply *r, enum mysql_shape shape);
/* The next packet: its first @len of @size bytes, MYSQL_REPLY_SHOWN or all. */
enum mysql_progress mysql_reply_packet(struct mysql_reply *r, const uint8_t *p, size_t len,
				       uint32_t size);
