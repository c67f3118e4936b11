#include "net/broker/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PIPE_SIZE = 262144,
	ROUNDS = 8, /* of one way, before others have their turn */
};

static int pipe_take(struct pipe_pool *pool, struct stream_way *w)
{
	if (pool->count) {
		pool->count--;
		w->pipe[0] = pool->spare[pool->count][0];
		w->pipe[1] = pool->spare[pool->count][1];
		return 0;
	}
	if (pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
		w->pipe[0] = w->pipe[1] = -1;
		return -errno;
	}
	/* Beyond the user's share of pipe memory it stays small, which is slower and no more. */
	fcntl(w->pipe[0], F_SETPIPE_SZ, PIPE_SIZE);
	return 0;
}

static void pipe_give(struct pipe_pool *pool, struct stream_way *w)
{
	if (w->pipe[0] < 0)
		return;
	if (w->in_pipe == 0 && pool->count < sizeof(pool->spare) / sizeof(pool->spare[0])) {
		pool->spare[pool->count][0] = w->pipe[0];
		pool->spare[pool->count][1] = w->pipe[1];
		pool->count++;
	} else {
		close(w->pipe[0]);
		close(w->pipe[1]);
	}
	w->pipe[0] = w->pipe[1] = -1;
	w->in_pipe = 0;
}

/* 1 moved, 0 not, -errno broken. */
static int fill(struct stream_end *src, struct stream_way *w)
{
	if (!src->readable || src->eof || w->in_pipe >= PIPE_SIZE)
		return 0;
	ssize_t n = splice(src->source.fd, NULL, w->pipe[1], NULL, PIPE_SIZE - w->in_pipe,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		w->in_pipe += (size_t)n;
		return 1;
	}
	if (n == 0) {
		src->eof = true;
		return 1;
	}
	if (errno == EINTR)
		return 1;
	if (errno != EAGAIN)
		return -errno;
	/* With bytes in the pipe it may be the pipe that is full: its slots, not its bytes. */
	if (w->in_pipe == 0)
		src->readable = false;
	return 0;
}

static int drain(struct stream_end *dst, struct stream_way *w)
{
	if (!w->in_pipe || !dst->writable)
		return 0;
	ssize_t n = splice(w->pipe[0], NULL, dst->source.fd, NULL, w->in_pipe,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		w->in_pipe -= (size_t)n;
		w->bytes += (uint64_t)n;
		return 1;
	}
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	dst->writable = false;
	return 0;
}

/* What could not be sent, of @len copied bytes, goes the longer way. */
static int set_aside(struct stream_way *w, struct pipe_pool *pool, const uint8_t *bytes, size_t len)
{
	int r = pipe_take(pool, w);
	if (r < 0)
		return r;
	if (write(w->pipe[1], bytes, len) != (ssize_t)len)
		return -ENOBUFS;
	w->in_pipe = len;
	return 0;
}

/*
 * A short word, as of a request and its answer, is copied: fewer calls than the way through a pipe, which
 * needs another look to know that nothing more is there. 1 that was all; 0 more may be there, -errno broken.
 */
static int copy_word(struct stream_end *src, struct stream_end *dst, struct stream_way *w,
		     struct pipe_pool *pool)
{
	uint8_t *bytes = pool->word;
	ssize_t n = recv(src->source.fd, bytes, sizeof(pool->word), MSG_DONTWAIT), sent;
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	src->eof = n == 0;
	/* Less than there was room for is all there was; what comes now is a new edge. */
	if (n < (ssize_t)sizeof(pool->word) && !src->run_dry)
		src->readable = false;
	if (n <= 0) {
		src->readable = false;
		return 1;
	}
	do
		sent = send(dst->source.fd, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	sent = sent < 0 ? 0 : sent;
	w->bytes += (uint64_t)sent;
	if (sent < n) {
		dst->writable = false;
		int r = set_aside(w, pool, bytes + sent, (size_t)(n - sent));
		if (r < 0)
			return r;
	}
	return !src->readable;
}

/* The end of one way: what was read has been written, so the other side is told. */
static int pass_eof(struct stream_end *src, struct stream_end *dst, const struct stream_way *w)
{
	if (!src->eof || dst->shut || w->in_pipe)
		return 0;
	dst->shut = true;
	if (shutdown(dst->source.fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return -errno;
	return 0;
}

static int splice_way(struct relay *r, enum way d, struct pipe_pool *pool, bool *more)
{
	struct stream_end *src = &r->ends[d], *dst = &r->ends[!d];
	struct stream_way *w = &r->ways[d];
	int moved = 1;
	for (unsigned round = 0; moved; round++) {
		if (round == ROUNDS) {
			*more = true;
			break;
		}
		if (w->pipe[0] < 0) {
			if (!src->readable || src->eof)
				break;
			int rc = pipe_take(pool, w);
			if (rc < 0)
				return rc;
		}
		int in = fill(src, w);
		int out = in < 0 ? in : drain(dst, w);
		if (out < 0)
			return out;
		moved = in | out;
	}
	if (w->in_pipe == 0)
		pipe_give(pool, w);
	return 0;
}

static int move_way(struct relay *r, enum way d, struct pipe_pool *pool, bool *more)
{
	struct stream_end *src = &r->ends[d], *dst = &r->ends[!d];
	struct stream_way *w = &r->ways[d];
	uint64_t before = w->bytes;
	int rc = 0;
	if (w->pipe[0] < 0 && src->readable && !src->eof && dst->writable && !w->long_words)
		rc = copy_word(src, dst, w, pool);
	if (rc == 0)
		rc = splice_way(r, d, pool, more);
	w->long_words = w->bytes - before > sizeof(pool->word);
	return rc < 0 ? rc : 0;
}

int stream_pump(struct relay *r, struct pipe_pool *pool)
{
	bool more = false;
	for (enum way d = TO_SERVER; d < WAYS; d++) {
		int rc = move_way(r, d, pool, &more);
		if (rc == 0)
			rc = pass_eof(&r->ends[d], &r->ends[!d], &r->ways[d]);
		if (rc < 0)
			return rc;
	}
	if (r->ends[AGENT].shut && r->ends[SERVER].shut)
		return STREAM_DONE;
	return more ? STREAM_MORE : STREAM_WAITS;
}

void stream_last_words(struct relay *r, struct pipe_pool *pool)
{
	bool more;
	for (enum way d = TO_SERVER; d < WAYS; d++) {
		r->ends[d].readable = true;
		(void)splice_way(r, d, pool, &more); /* one of them is broken */
	}
}

int stream_event(struct stream_end *e, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (events & (EPOLLERR | EPOLLHUP) &&
	    getsockopt(e->source.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		return -error;
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP))
		e->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP))
		e->writable = true;
	e->run_dry |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
	return 0;
}

void stream_finish(struct relay *r, struct pipe_pool *pool)
{
	for (enum way d = TO_SERVER; d < WAYS; d++)
		pipe_give(pool, &r->ways[d]);
}
