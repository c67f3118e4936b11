/* What relay.c and listener.c share: the broker's relays, and where they wait for an end. Private to them. */
#pragma once

#include "net/broker/stream.h"

enum { BUCKETS = 4096 };

struct listener {
	struct corpse corpse; /* first */
	struct source source;
	struct listener *next;
	uint32_t id;
	uint16_t inside; /* published: port of the sandbox */
	struct relay *first, **last;
};

struct relays {
	struct relay *by_id[BUCKETS];
	struct listener *listeners[BUCKETS];
	struct relay *run, **run_end;
	struct pipe_pool pool;
	bool finishing;
	uint64_t last_published, told_ms;
	unsigned published;
};

/* relay.c */
/* Without ends. NULL: no memory. */
struct relay *relay_new(struct broker *b, uint64_t id);
/* The agent's end is there: @fd, owned from here on. 0, -errno. */
int relay_take_agent(struct relay *r, int fd);
/* Both ends are there. */
void relay_begin(struct relay *r);
/* With an @error both ends are reset. The monitor is told; the relay is freed after the batch. */
void relay_end(struct relay *r, int error);
/* At once, whoever else holds the file: the peer is told, and what was not sent yet is not sent. */
void relay_reset_socket(int fd);
void relay_set_options(int fd);

/* listener.c */
/* NULL none. */
struct listener *listener_find(struct relays *rs, uint32_t id);
/* @fd listens, and is owned from here on. NULL: it could not be, and the caller has it still. */
struct listener *listener_new(struct broker *b, uint32_t id, int fd);
/* @r waits for its agent's end at @l; does so no more, if it did. */
void listener_wait(struct listener *l, struct relay *r);
void listener_leave(struct relay *r);
/* Who has connected, written and ended may still wait to be accepted. */
void listeners_accept(struct broker *b);
