/* The bytes of a relayed connection: two ends, two ways. Private to relay.c, listener.c and stream.c. */
#pragma once

#include "net/broker/private.h"

struct listener;

enum { AGENT, SERVER }; /* ends; the way TO_SERVER leads from the first to the second */
enum way { TO_SERVER, TO_CLIENT, WAYS };

struct stream_end {
	struct source source;
	struct relay *relay;
	bool connected;
	bool readable, writable; /* as the last call or event told */
	bool run_dry; /* an end or an urgent byte makes reads short: to be read until nothing is there */
	bool eof;  /* nothing more will be read */
	bool shut; /* nothing more will be written */
};

struct stream_way {
	int pipe[2]; /* lent by the pool while it holds bytes; -1 none */
	size_t in_pipe;
	uint64_t bytes;  /* that went on */
	bool long_words; /* more came at once the last time than is copied */
};

struct relay {
	struct corpse corpse; /* first: how it is freed */
	uint64_t id;
	struct relay *next_same;    /* in its bucket */
	struct relay *next_waiting; /* for an agent's end, at its listener */
	struct relay *next_run;
	bool queued, over, dialled;
	bool untold;               /* the agent's end is there, the monitor does not know yet */
	bool inspected;            /* both ends are the inspector's */
	struct listener *listener; /* NULL: published */
	struct stream_end ends[2];
	struct stream_way ways[WAYS];
	struct broker *broker;
	struct net_address address;
	uint32_t inspect;
	uint64_t deadline_ms; /* until the agent's end must be there; 0 none */
	uint64_t told_bytes;
	char *name; /* owned */
};

/* What the ways share: pipes, and the room for a word that is copied. */
struct pipe_pool {
	/* Fits into any pipe: the kernel gives a page or more to whoever has used up the user's share. */
	uint8_t word[4096];
	int spare[64][2];
	unsigned count;
};

enum stream_state {
	STREAM_WAITS, /* for an event */
	STREAM_MORE,  /* stopped for fairness */
	STREAM_DONE,  /* both ways have ended in order */
};
/* Moves what can be moved. enum stream_state, or -errno: the connection is broken. */
int stream_pump(struct relay *r, struct pipe_pool *pool);
/* What epoll said of an end. 0, -errno of the socket. */
int stream_event(struct stream_end *e, uint32_t events);
/* An end is broken: passes on what either had said before, as far as the other takes it now. */
void stream_last_words(struct relay *r, struct pipe_pool *pool);
void stream_finish(struct relay *r, struct pipe_pool *pool);
