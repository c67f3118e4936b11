/*
 * Connections and the time each takes to say a whole request. libmicrohttpd lets go of who says nothing; who says a byte
 * now and then to keep a connection busy is let go of here.
 */
#pragma once

struct visits;
struct visit;

/* Starts the thread that looks; a request has @request_s seconds. NULL: no memory or no thread. */
struct visits *visits_new(unsigned request_s);
/* NULL is fine. No visit may be left. */
void visits_free(struct visits *v);

/* A connection came, on @fd, which stays the caller's and open until visit_end. NULL: no memory. */
struct visit *visit_begin(struct visits *v, int fd);
/* The next request is waited for: from now on its time runs. NULL is fine. */
void visit_waits(struct visits *v, struct visit *visit);
/* The request is here, and takes as long as it takes. NULL is fine. */
void visit_served(struct visits *v, struct visit *visit);
/* Frees. NULL is fine. */
void visit_end(struct visits *v, struct visit *visit);
