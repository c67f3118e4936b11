/*
 * What the parts of the broker share.
 *
 * Theory of operation: one thread, one epoll set, nothing blocks. A source is a descriptor
 * with what is to be done when it is ready; edges are counted, so a relay that stops before it
 * has to wait puts itself into the run queue. What ends while
 * events of the same batch may still name it is freed after the batch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/confine.h"
#include "net/broker.h"
#include "net/broker_queue.h"

struct broker;

struct source {
	void (*ready)(struct broker *b, struct source *s, uint32_t events);
	int fd; /* owned; -1 none */
};

/* To another process, in packets. */
struct channel {
	struct source source; /* first */
	struct broker_queue out;
	bool awaits_room; /* the set tells when there is */
};

/* Something to be freed after the batch of events. */
struct corpse {
	struct corpse *next;
};

struct resolver;
struct relays;
struct flows;

struct broker {
	int epoll_fd;
	struct channel channel; /* to the monitor */
	uint64_t tell_ms;       /* when what can wait is to be sent; 0 nothing does */
	struct corpse *corpses;
	struct relays *relays;     /* owned */
	struct flows *flows;       /* owned */
	struct resolver *resolver; /* owned; NULL: no DNS */
	struct channel *inspector; /* owned; NULL: nothing is looked into */
	uint64_t now_ms;           /* monotonic, of this batch */
	bool finishing;            /* the agents have ended: seen to after this batch */
	bool over;                 /* the monitor is gone */
};

/* loop.c; @events as epoll_ctl(2) takes them, EPOLLET included */
int source_add(struct broker *b, struct source *s, uint32_t events);
int source_change(struct broker *b, struct source *s, uint32_t events);
/* Closes the descriptor; the set forgets it, unless another process holds the same file. */
void source_close(struct source *s);
/* The set forgets it: before the file is given to another process. The descriptor stays open. */
void source_forget(struct broker *b, const struct source *s);
/* The descriptor of @ch, which does not block, into the set. 0, -errno. */
int channel_open(struct broker *b, struct channel *ch);
/* As broker_queue_send, broker_queue_flush. */
int channel_send(struct broker *b, struct channel *ch, struct broker_message *m, const char *text,
		 size_t text_len, const int *fds, unsigned fd_count);
int channel_flush(struct broker *b, struct channel *ch);
/* Frees @c's memory when no event can name it any more. @c stands first in what was allocated. */
void broker_bury(struct broker *b, struct corpse *c);
/* To the monitor; what the channel cannot take now waits. */
void broker_tell(struct broker *b, struct broker_message *m, const char *text, size_t text_len);
/*
 * The same for what nobody waits for: sent before whatever is told next, or a few milliseconds later, so that
 * many of them wake the monitor once.
 */
void broker_tell_later(struct broker *b, struct broker_message *m);
/* Does what the monitor has said by now. Not from within what it says. */
void broker_hear(struct broker *b);

/* relay.c: TCP connections, from their OPEN to their end. */
struct relays *relays_new(void);
void relays_open(struct broker *b, struct broker_packet *p);
void relays_cancel(struct broker *b, uint64_t id);
void relays_cut(struct broker *b, uint64_t id);
/*
 * The agents have ended: no connection is waited for; those that are there end when all is sent. Not from within
 * what the monitor says.
 */
void relays_finish(struct broker *b);
void relays_verdict(struct broker *b, const struct broker_packet *p);
/* What stopped before it had to wait goes on. Returns whether there is more. */
bool relays_run(struct broker *b);
/* Once a second: deadlines, byte counts. */
void relays_tick(struct broker *b);
/* A socket for a published connection, or why there is none. */
void relays_socket(struct broker *b, struct broker_packet *p);

/* What the inspector says of a connection it was given; false: it speaks of none. */
bool relays_inspected(struct broker *b, struct broker_packet *p);
/* The inspector is gone, and with it the connections it held. */
void relays_uninspected(struct broker *b);

/* listener.c: where connections come in. */
/* That listener is no more; who waited at it is ended. */
void listener_end(struct broker *b, uint32_t id);
/* Listens at @address of the host for the sandbox's port @inside. 0, -errno. */
int listener_publish(struct broker *b, const struct net_address *address, uint16_t inside);

/*
 * inspector.c: the process that sees what goes to databases. Started before the broker is
 * confined. @tls: "whole" lets encrypted connections through. 0, -errno.
 */
int inspector_start(struct broker *b, const char *tls);
/* Lets it have both ends of a connection, which stay the caller's too. 0, -errno. */
int inspector_open(struct broker *b, struct broker_message *m, const char *name, int agent_fd,
		   int server_fd);
void inspector_verdict(struct broker *b, const struct broker_packet *p);
void inspector_cut(struct broker *b, uint64_t id);

/* flow.c: datagrams of approved destinations. */
struct flows *flows_new(void);
void flows_open(struct broker *b, struct broker_packet *p);
void flows_close(struct broker *b, uint64_t id);
void flows_finish(struct broker *b);
void flows_tick(struct broker *b);

/* resolver.c: DNS; what can be had before SETUP, and the rest. @p is the SETUP packet. 0, -errno. */
int resolver_prepare(struct broker *b);
int resolver_start(struct broker *b, struct broker_packet *p);
void resolver_verdict(struct broker *b, const struct broker_packet *p);
void resolver_permitted(struct broker *b, const struct broker_packet *p);
/* Milliseconds until c-ares wants to be called, at most @most. */
int resolver_timeout(struct broker *b, int most);
void resolver_tick(struct broker *b);

/* confine.c: the rules, compiled ahead, which confine_broker takes; from that call on sockets only. 0, -errno. */
int confine_prepare(struct confine_rules **ret);
int confine_broker(struct confine_rules *rules);

/* Ids of connections that come from outside have this bit; the monitor's never have. */
#define BROKER_ID_PUBLISHED (UINT64_C(1) << 63)
