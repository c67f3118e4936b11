/* The gateway's side of the log: from the segment into lines, each with the hash of the one before. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/eventlog.h"
#include "base/eventlog_chain.h"
#include "base/eventlog_ring.h"
#include "base/scope.h"

enum { SESSION_MAX = 256 };

struct eventlog_reader {
	struct eventlog_ring *ring; /* owned mapping */
	int fd;                     /* events.jsonl, owned; holds the lock */
	off_t size;                 /* of its whole lines */
	uint64_t tail;              /* what ring->tail says, and nobody else can change */
	char session[SESSION_MAX];
	char prev[HASH_HEX]; /* hash of the last line, "" before the first */
	uint64_t last_seq;   /* of the last line; 0 none */
	_Alignas(8) unsigned char record[EVENT_PACKED_MAX];
	char line[EVENT_JSON_MAX + 2];
};

/* The number after {"v":1,"seq": as every line begins; 0 when it does not. */
static uint64_t line_seq(const char *line, size_t len)
{
	static const char start[] = "{\"v\":1,\"seq\":";
	uint64_t seq = 0;

	if (len < sizeof(start) - 1 || memcmp(line, start, sizeof(start) - 1) != 0)
		return 0;
	for (size_t i = sizeof(start) - 1; i < len && line[i] >= '0' && line[i] <= '9'; i++)
		seq = seq * 10 + (uint64_t)(line[i] - '0');
	return seq;
}

/* Reads up to @size bytes before @end. */
static ssize_t read_before(int fd, off_t end, char *out, size_t size)
{
	off_t start = end > (off_t)size ? end - (off_t)size : 0;
	size_t want = (size_t)(end - start), got = 0;

	while (got < want) {
		ssize_t n = pread(fd, out + got, want - got, start + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Finds the end of the chain, and cuts what a crash left of a line behind it. */
static int chain_resume(struct eventlog_reader *r, struct err *err)
{
	struct stat st;
	if (fstat(r->fd, &st) < 0)
		return err_sys(err, errno, "cannot stat %s", EVENTLOG_FILE);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EBADMSG, "%s is not a regular file", EVENTLOG_FILE);

	/* At worst: a whole line, its newline, and a torn one. */
	size_t size = 2 * (size_t)EVENT_JSON_MAX + 2;
	cleanup_free char *tail = malloc(size);
	if (!tail)
		return err_sys(err, ENOMEM, "cannot read %s", EVENTLOG_FILE);
	ssize_t n = read_before(r->fd, st.st_size, tail, size);
	if (n < 0)
		return err_sys(err, (int)-n, "cannot read %s", EVENTLOG_FILE);

	size_t len = (size_t)n;
	while (len > 0 && tail[len - 1] != '\n')
		len--;
	if (len == 0 && (size_t)n == size)
		return err_set(err, EBADMSG, "%s does not end in a line of this log",
			       EVENTLOG_FILE);
	r->size = st.st_size - (off_t)((size_t)n - len);
	if (r->size < st.st_size && ftruncate(r->fd, r->size) < 0)
		return err_sys(err, errno, "cannot cut the torn last line of %s", EVENTLOG_FILE);
	if (len == 0)
		return 0;

	size_t end = len - 1, start = end;
	while (start > 0 && tail[start - 1] != '\n')
		start--;
	if (!eventlog_line_hash(tail + start, end - start, r->prev))
		return err_set(err, EBADMSG, "the last line of %s has no hash to continue from",
			       EVENTLOG_FILE);
	r->last_seq = line_seq(tail + start, end - start);
	return 0;
}

/* Adds one line, whole or not at all. */
static int write_line(struct eventlog_reader *r, const struct event *e)
{
	struct buf line;
	char hash[HASH_HEX];

	buf_init(&line, r->line, sizeof(r->line));
	int res = event_json(e, r->session, r->prev, &line, hash);
	if (res < 0)
		return res;
	buf_putc(&line, '\n');

	for (size_t done = 0; done < line.len;) {
		ssize_t n = pwrite(r->fd, line.data + done, line.len - done, r->size + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			res = n < 0 ? -errno : -ENOSPC;
			/* Should this fail too, the next opening cuts the line. */
			int ignored = ftruncate(r->fd, r->size);
			(void)ignored;
			return res;
		}
		done += (size_t)n;
	}
	r->size += (off_t)line.len;
	r->last_seq = e->seq;
	memcpy(r->prev, hash, sizeof(hash));
	return 0;
}

int eventlog_append(struct eventlog_reader *r, struct event *e)
{
	e->seq = atomic_fetch_add_explicit(&r->ring->seq, 1, memory_order_relaxed) + 1;
	return write_line(r, e);
}

static int append_notice(struct eventlog_reader *r, const char *text)
{
	struct event e = {
		.kind = EVENT_NOTICE,
		.text = text,
		.action = { .resource = "", .program = "", .size_bytes = -1 },
	};
	event_stamp(&e);
	return eventlog_append(r, &e);
}

static void move_tail(struct eventlog_reader *r, uint64_t tail)
{
	r->tail = tail;
	atomic_store_explicit(&r->ring->tail, tail, memory_order_release);
}

/* Size of the frame at @tail, copied out once and checked; 0 when it makes no sense. */
static uint32_t take_frame(struct eventlog_reader *r, uint64_t tail, uint64_t head,
			   uint32_t *ret_kind)
{
	struct eventlog_frame frame;
	memcpy(&frame, eventlog_ring_at(r->ring, tail), sizeof(frame));
	if (frame.size < sizeof(frame) || frame.size % 8 != 0 || frame.size > head - tail ||
	    frame.size > eventlog_ring_to_end(tail))
		return 0;
	if (frame.kind == FRAME_EVENT) {
		size_t len = frame.size - sizeof(frame);
		if (len > sizeof(r->record))
			return 0;
		memcpy(r->record, eventlog_ring_at(r->ring, tail) + sizeof(frame), len);
	} else if (frame.kind != FRAME_PAD) {
		return 0;
	}
	*ret_kind = frame.kind;
	return frame.size;
}

/* What is gone is said in its place, so that a gap in the numbers has a reason. */
static int skip_damage(struct eventlog_reader *r, uint64_t to, const char *what)
{
	int res = append_notice(r, what);
	if (res < 0)
		return res;
	move_tail(r, to);
	return 1;
}

/* Writes out one record and moves tail behind it. Number of lines, or -errno. */
static int drain_one(struct eventlog_reader *r, uint64_t head,
		     void (*seen)(const struct event *e, void *arg), void *arg)
{
	uint64_t tail = r->tail;
	uint32_t kind = 0;
	uint32_t size = take_frame(r, tail, head, &kind);

	if (size == 0)
		return skip_damage(r, head, "the event segment is damaged; records in it are lost");
	if (kind == FRAME_PAD) {
		move_tail(r, tail + size);
		return 0;
	}
	struct event e;
	if (event_unpack(r->record, size - sizeof(struct eventlog_frame), &e) < 0)
		return skip_damage(r, tail + size,
				   "a record of the event segment is damaged; it is lost");
	int res = write_line(r, &e);
	if (res < 0)
		return res;
	move_tail(r, tail + size);
	if (seen)
		seen(&e, arg);
	return 1;
}

static int drain_to(struct eventlog_reader *r, uint64_t head,
		    void (*seen)(const struct event *e, void *arg), void *arg)
{
	int count = 0;

	if (head - r->tail > EVENTLOG_RING_SIZE || head % 8 != 0)
		return skip_damage(r, head & ~UINT64_C(7),
				   "the event segment is damaged; records in it are lost");
	while (r->tail != head) {
		int res = drain_one(r, head, seen, arg);
		atomic_store_explicit(&r->ring->stuck, res < 0, memory_order_relaxed);
		if (res < 0)
			return res;
		count += res;
	}
	return count;
}

int eventlog_drain(struct eventlog_reader *r, void (*seen)(const struct event *e, void *arg),
		   void *arg)
{
	atomic_store_explicit(&r->ring->sleeping, 0, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&r->ring->head, memory_order_acquire);
	return drain_to(r, head, seen, arg);
}

int eventlog_recover(struct eventlog_reader *r, void (*seen)(const struct event *e, void *arg),
		     void *arg)
{
	/* Nobody else writes any more, so the open record can be published for its writer. */
	uint64_t begun = atomic_load_explicit(&r->ring->begun, memory_order_acquire);
	atomic_store_explicit(&r->ring->head, begun, memory_order_release);
	return eventlog_drain(r, seen, arg);
}

bool eventlog_reader_sleep(struct eventlog_reader *r)
{
	atomic_store_explicit(&r->ring->sleeping, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&r->ring->head, memory_order_acquire) == r->tail)
		return true;
	atomic_store_explicit(&r->ring->sleeping, 0, memory_order_relaxed);
	return false;
}

/*
 * A reader that died between the line and the move of tail left the record of
 * its last line in the segment. Only the first record can be that one.
 */
static void drop_written(struct eventlog_reader *r)
{
	uint64_t head = atomic_load_explicit(&r->ring->head, memory_order_acquire);
	uint64_t begun = atomic_load_explicit(&r->ring->begun, memory_order_acquire);
	uint64_t tail = r->tail;
	uint64_t end = head == tail ? begun : head;
	uint32_t kind = 0;

	if (r->last_seq == 0 || end - tail > EVENTLOG_RING_SIZE)
		return;
	while (tail != end) {
		uint32_t size = take_frame(r, tail, end, &kind);
		struct event e;
		if (size == 0)
			return;
		if (kind == FRAME_EVENT) {
			if (event_unpack(r->record, size - sizeof(struct eventlog_frame), &e) ==
				    0 &&
			    e.seq == r->last_seq)
				move_tail(r, tail + size);
			return;
		}
		tail += size;
	}
}

int eventlog_reader_open(int dirfd, const char *session, struct eventlog_reader **ret,
			 struct err *err)
{
	if (strlen(session) >= SESSION_MAX)
		return err_set(err, ENAMETOOLONG, "the session's name is too long");
	struct eventlog_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return err_sys(err, ENOMEM, "cannot read %s", EVENTLOG_FILE);
	memcpy(r->session, session, strlen(session));

	int res;
	r->fd = openat(dirfd, EVENTLOG_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0600);
	if (r->fd < 0)
		res = err_sys(err, errno, "cannot open %s", EVENTLOG_FILE);
	else if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		res = errno == EWOULDBLOCK
			      ? err_set(err, EBUSY, "another process reads this session's log")
			      : err_sys(err, errno, "cannot lock %s", EVENTLOG_FILE);
	else
		res = eventlog_ring_map(dirfd, &r->ring, err);
	if (res == 0)
		res = chain_resume(r, err);
	if (res < 0) {
		eventlog_reader_close(r);
		return res;
	}
	r->tail = atomic_load_explicit(&r->ring->tail, memory_order_relaxed) & ~UINT64_C(7);
	drop_written(r);
	*ret = r;
	return 0;
}

void eventlog_reader_close(struct eventlog_reader *r)
{
	if (!r)
		return;
	eventlog_ring_unmap(r->ring);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}
