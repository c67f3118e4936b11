#include "net/broker_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct broker_queued {
	struct broker_queued *next;
	struct broker_message m;
	int fds[BROKER_FDS_MAX]; /* owned */
	unsigned fd_count;
	bool has_text;
	size_t text_len;
	char text[];
};

void broker_queue_init(struct broker_queue *q, int fd)
{
	*q = (struct broker_queue){ .fd = fd };
	q->last = &q->first;
}

bool broker_queue_empty(const struct broker_queue *q)
{
	return !q->first;
}

static void queued_free(struct broker_queued *w)
{
	for (unsigned i = 0; i < w->fd_count; i++)
		close(w->fds[i]);
	free(w);
}

int broker_queue_keep(struct broker_queue *q, const struct broker_message *m, const char *text,
		      size_t text_len, const int *fds, unsigned fd_count)
{
	size_t len = text ? text_len : 0;
	if (len >= BROKER_TEXT_MAX || fd_count > BROKER_FDS_MAX)
		return -EMSGSIZE;
	struct broker_queued *w = malloc(sizeof(*w) + len + 1);
	if (!w)
		return -ENOMEM;
	*w = (struct broker_queued){ .m = *m, .has_text = text != NULL, .text_len = len };
	memcpy(w->text, text ? text : "", len);
	for (; w->fd_count < fd_count; w->fd_count++) {
		int fd = fcntl(fds[w->fd_count], F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			int error = errno;
			queued_free(w);
			return -error;
		}
		w->fds[w->fd_count] = fd;
	}
	*q->last = w;
	q->last = &w->next;
	return 0;
}

int broker_queue_flush(struct broker_queue *q)
{
	int r = 0;
	while (r == 0 && q->first) {
		struct broker_queued *w = q->first;
		r = broker_send(q->fd, &w->m, w->has_text ? w->text : NULL, w->text_len, w->fds,
				w->fd_count);
		if (r < 0)
			break;
		q->first = w->next;
		if (!q->first)
			q->last = &q->first;
		queued_free(w);
	}
	return r == -EAGAIN ? 0 : r;
}

int broker_queue_send(struct broker_queue *q, struct broker_message *m, const char *text,
		      size_t text_len, const int *fds, unsigned fd_count)
{
	int r = broker_queue_flush(q);
	if (r < 0)
		return r;
	r = q->first ? -EAGAIN : broker_send(q->fd, m, text, text_len, fds, fd_count);
	return r == -EAGAIN ? broker_queue_keep(q, m, text, text_len, fds, fd_count) : r;
}
