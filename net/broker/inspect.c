/* The side of net/relay.h that inspectors call, and one way of a connection through one of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/broker/stream.h"

static int buffer_room(struct stream_buffer *b, size_t size)
{
	if (b->bytes)
		return 0;
	b->bytes = malloc(size);
	b->size = size;
	return b->bytes ? 0 : -ENOMEM;
}

static void buffer_drop(struct stream_buffer *b, size_t len)
{
	b->start += len;
	b->len -= len;
	if (b->len == 0)
		b->start = 0;
}

static int buffer_append(struct stream_buffer *b, const void *bytes, size_t len)
{
	if (buffer_room(b, 2 * RELAY_HELD_MAX) < 0)
		return -ENOMEM;
	if (len > b->size - b->len)
		return -ENOBUFS;
	if (b->start + b->len + len > b->size) {
		memmove(b->bytes, b->bytes + b->start, b->len);
		b->start = 0;
	}
	memcpy(b->bytes + b->start + b->len, bytes, len);
	b->len += len;
	return 0;
}

int inspect_begin(struct relay *r)
{
	const struct relay_peer peer = { .name = r->name ? r->name : "",
					 .address = r->address,
					 .inspect = r->inspect };
	if (r->inspect == BROKER_INSPECT_NONE)
		return 0;
	for (const struct relay_inspector *const *i = relay_inspectors; *i; i++) {
		r->inspector = *i;
		r->state = calloc(1, (*i)->state_size + 1);
		int rc = r->state ? (*i)->begin(r->state, r, &peer) : -ENOMEM;
		if (rc <= 0)
			return rc;
		free(r->state);
		r->state = NULL;
		r->inspector = NULL;
	}
	return 0;
}

void inspect_finish(struct relay *r)
{
	if (r->inspector && r->inspector->end)
		r->inspector->end(r->state);
	free(r->state);
	r->inspector = NULL;
	r->state = NULL;
}

/* 1 moved, 0 not, -errno. */
static int read_more(struct stream_end *src, struct stream_buffer *held)
{
	if (!src->readable || src->eof || held->len == held->size)
		return 0;
	if (held->start) {
		memmove(held->bytes, held->bytes + held->start, held->len);
		held->start = 0;
	}
	ssize_t n =
		recv(src->source.fd, held->bytes + held->len, held->size - held->len, MSG_DONTWAIT);
	if (n > 0) {
		held->len += (size_t)n;
		return 1;
	}
	if (n == 0) {
		src->eof = true;
		return 1;
	}
	if (errno != EAGAIN)
		return errno == EINTR ? 1 : -errno;
	src->readable = false;
	return 0;
}

static int write_ready(struct stream_end *dst, struct stream_way *w)
{
	if (!w->ready.len || !dst->writable)
		return 0;
	ssize_t n = send(dst->source.fd, w->ready.bytes + w->ready.start, w->ready.len,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0) {
		buffer_drop(&w->ready, (size_t)n);
		w->bytes += (uint64_t)n;
		return 1;
	}
	if (errno != EAGAIN)
		return errno == EINTR ? 1 : -errno;
	dst->writable = false;
	return 0;
}

/* Shows the inspector what is held, as long as it takes something. */
static int show(struct relay *r, enum relay_direction d, const struct stream_end *src)
{
	struct stream_way *w = &r->ways[d];
	w->again = false;
	if (r->passing)
		return (int)w->held.len; /* told with relay_pass: all of it goes on */
	bool tell_eof = src->eof && !w->told_eof;
	if (!w->held.len && !tell_eof)
		return 0;
	w->told_eof |= src->eof;
	ptrdiff_t n = r->inspector->bytes(r->state, r, d, w->held.bytes + w->held.start,
					  w->held.len, src->eof);
	if (n < 0)
		return (int)n;
	return (size_t)n > w->held.len ? -EPROTO : (int)n;
}

int inspect_pump(struct relay *r, enum relay_direction d)
{
	struct stream_end *src = &r->ends[d], *dst = &r->ends[!d];
	struct stream_way *w = &r->ways[d];
	if (buffer_room(&w->held, RELAY_HELD_MAX) < 0)
		return -ENOMEM;
	for (unsigned round = 0; round < 16; round++) {
		int wrote = write_ready(dst, w);
		/* Back-pressure: nothing more is looked at while the last has not gone on. */
		int got = wrote < 0                    ? wrote
			  : w->ready.len || r->passing ? 0
						       : read_more(src, &w->held);
		if (got < 0)
			return got;
		bool look = got || w->again || (r->passing && w->held.len);
		int n = !look || w->ready.len ? 0 : show(r, d, src);
		if (r->failed)
			return -r->failed;
		if (n < 0)
			return n;
		if (n > 0) {
			int rc = buffer_append(&w->ready, w->held.bytes + w->held.start, (size_t)n);
			if (rc < 0)
				return rc;
			buffer_drop(&w->held, (size_t)n);
		}
		/* A full hold that nobody is asked about would wait for ever. */
		if (w->held.len == w->held.size && !n && look && !r->ask_count)
			return -ENOBUFS;
		if (src->eof && w->told_eof && !w->ready.len && !r->ask_count)
			buffer_drop(&w->held, w->held.len);
		if (!wrote && !got && !n)
			return 0;
	}
	return 1;
}

int relay_drop(struct relay *r, enum relay_direction direction, size_t len)
{
	struct stream_buffer *held = &r->ways[direction].held;
	if (len > held->len)
		return -ERANGE;
	buffer_drop(held, len);
	return 0;
}

int relay_inject(struct relay *r, enum relay_direction direction, const void *bytes, size_t len)
{
	if (len > RELAY_HELD_MAX)
		return -ENOBUFS;
	relay_queue(r);
	return buffer_append(&r->ways[direction].ready, bytes, len);
}

int relay_ask(struct relay *r, enum action_type type, enum action_op op, const char *text,
	      size_t len, uint64_t *ret_ask)
{
	static uint64_t last; /* questions of the program's life */
	if (r->ask_count == RELAY_ASKS_MAX)
		return -EBUSY;
	struct broker_message m = { .type = BROKER_STATEMENT,
				    .id = r->id,
				    .ask = ++last,
				    .action_type = (uint32_t)type,
				    .op = (uint32_t)op };
	r->asks[r->ask_count++] = m.ask;
	*ret_ask = m.ask;
	broker_tell(r->broker, &m, text, len < BROKER_TEXT_MAX ? len : BROKER_TEXT_MAX - 1);
	return 0;
}

void relay_classified(struct relay *r, const char *protocol, const char *detail)
{
	char text[512];
	size_t n = strnlen(protocol, 63), m = strnlen(detail, 400);
	struct broker_message message = { .type = BROKER_CLASSIFIED, .id = r->id };
	memcpy(text, protocol, n);
	text[n] = '\0';
	memcpy(text + n + 1, detail, m);
	broker_tell(r->broker, &message, text, n + 1 + m);
}

void relay_pass(struct relay *r)
{
	r->passing = true;
	relay_queue(r);
}

void relay_resume(struct relay *r, enum relay_direction direction)
{
	r->ways[direction].again = true;
	relay_queue(r);
}

void relay_reset(struct relay *r)
{
	r->failed = ECONNRESET;
	relay_queue(r);
}
