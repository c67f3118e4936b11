/*
 * Theory of operation. events.ring is one page of header and RING_SIZE bytes of
 * records. Positions are counters that only grow; their remainder by RING_SIZE
 * is the place. A record is a frame {size, kind} and a packed event, both
 * multiples of 8, and never goes around the end: a pad frame fills what is left.
 *
 *	tail <= head <= begun <= tail + RING_SIZE
 *
 * [tail, head) is published and the reader's; [head, begun) is the record under
 * way, complete in bytes but not yet answered for; the rest is the writer's. The
 * writer alone moves begun and head, the reader alone moves tail. begun moves
 * only once the record is whole, so recovery never meets half a record.
 *
 * The reader trusts none of it: it copies a record out before it looks inside,
 * and a frame that makes no sense costs the records up to head, which a notice
 * in the log then says.
 */
#include "base/eventlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/scope.h"

#ifndef EVENTLOG_RING_SIZE
#define EVENTLOG_RING_SIZE (UINT64_C(1) << 20)
#endif

enum {
	RING_VERSION = 1,
	RING_HEADER_SIZE = 4096,
	CACHE_LINE = 64,
	SESSION_MAX = 256,
	WAIT_MS = 5000, /* a reader that is alive and starved makes room long before */
};
#define RING_FILE_SIZE (RING_HEADER_SIZE + EVENTLOG_RING_SIZE)

static const char ring_name[] = "events.ring";
static const char log_name[] = "events.jsonl";
static const char ring_magic[8] = "VSRING\r\n";

enum frame_kind {
	FRAME_EVENT = 0x45564e54, /* so that zeroes are no frame */
	FRAME_PAD = 0x20504144,
};

struct frame {
	uint32_t size; /* with this header */
	uint32_t kind;
};

/* Each side's words have a cache line of their own. */
struct eventlog_ring {
	char magic[sizeof(ring_magic)];
	uint32_t version, header_size;
	uint64_t data_size;
	_Alignas(CACHE_LINE) _Atomic uint64_t begun; /* writer */
	_Atomic uint64_t head;                       /* writer */
	_Atomic uint64_t refused;                    /* writer */
	_Alignas(CACHE_LINE) _Atomic uint64_t tail;  /* reader */
	_Atomic uint32_t sleeping;                   /* set by the reader, cleared by either */
	_Atomic uint32_t stuck;                    /* reader: what is published cannot be written */
	_Alignas(CACHE_LINE) _Atomic uint64_t seq; /* last number given out, by either */
	_Alignas(RING_HEADER_SIZE) unsigned char data[];
};
_Static_assert(sizeof(struct eventlog_ring) == RING_HEADER_SIZE, "the data begin on a page");
_Static_assert((EVENTLOG_RING_SIZE & (EVENTLOG_RING_SIZE - 1)) == 0, "places are remainders");
_Static_assert(EVENTLOG_RING_SIZE >= 4 * (uint64_t)EVENT_PACKED_MAX, "several events fit");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock in shared memory would survive its holder");

struct eventlog_reader {
	struct eventlog_ring *ring; /* owned mapping */
	int fd;                     /* events.jsonl, owned; holds the lock */
	off_t size;                 /* of its whole lines */
	uint64_t tail;              /* what ring->tail says, and nobody else can change */
	char session[SESSION_MAX];
	char prev[EVENT_HASH_HEX]; /* hash of the last line, "" before the first */
	uint64_t last_seq;         /* of the last line; 0 none */
	_Alignas(8) unsigned char record[EVENT_PACKED_MAX];
	char line[EVENT_JSON_MAX + 2];
};

static unsigned char *place(struct eventlog_ring *ring, uint64_t position)
{
	return ring->data + (position & (EVENTLOG_RING_SIZE - 1));
}

static uint64_t to_end(uint64_t position)
{
	return EVENTLOG_RING_SIZE - (position & (EVENTLOG_RING_SIZE - 1));
}

int eventlog_create(int dirfd, struct err *err)
{
	cleanup_fd int fd =
		openat(dirfd, ring_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot create %s", ring_name);

	struct eventlog_ring head = {
		.version = RING_VERSION,
		.header_size = RING_HEADER_SIZE,
		.data_size = EVENTLOG_RING_SIZE,
	};
	memcpy(head.magic, ring_magic, sizeof(head.magic));

	int r = posix_fallocate(fd, 0, (off_t)RING_FILE_SIZE);
	if (r == 0) {
		ssize_t n = pwrite(fd, &head, sizeof(head), 0);
		if (n != (ssize_t)sizeof(head))
			r = n < 0 ? errno : EIO;
	}
	if (r != 0) {
		unlinkat(dirfd, ring_name, 0);
		return err_sys(err, r, "cannot allocate %s", ring_name);
	}
	return 0;
}

static int ring_map(int dirfd, struct eventlog_ring **ret, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, ring_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open %s", ring_name);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat %s", ring_name);
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)RING_FILE_SIZE)
		return err_set(err, EBADMSG, "%s is not an event segment of this version",
			       ring_name);
	void *map = mmap(NULL, RING_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, errno, "cannot map %s", ring_name);
	struct eventlog_ring *ring = map;
	if (memcmp(ring->magic, ring_magic, sizeof(ring_magic)) != 0 ||
	    ring->version != RING_VERSION || ring->header_size != RING_HEADER_SIZE ||
	    ring->data_size != EVENTLOG_RING_SIZE) {
		munmap(map, RING_FILE_SIZE);
		return err_set(err, EBADMSG, "%s is not an event segment of this version",
			       ring_name);
	}
	*ret = ring;
	return 0;
}

int eventlog_number_after(int dirfd, int before_dirfd, struct err *err)
{
	struct eventlog_ring *ring, *before;
	int r = ring_map(before_dirfd, &before, err);
	if (r < 0)
		return r;
	r = ring_map(dirfd, &ring, err);
	if (r == 0) {
		atomic_store(&ring->seq, atomic_load(&before->seq));
		munmap(ring, RING_FILE_SIZE);
	}
	munmap(before, RING_FILE_SIZE);
	return r;
}

int eventlog_writer_open(int dirfd, int wake_fd, struct eventlog_writer *ret, struct err *err)
{
	struct eventlog_ring *ring;
	int r = ring_map(dirfd, &ring, err);
	if (r < 0)
		return r;
	*ret = (struct eventlog_writer){
		.ring = ring,
		.seq = atomic_load_explicit(&ring->seq, memory_order_relaxed),
		.wake_fd = wake_fd,
	};
	return 0;
}

void eventlog_writer_close(struct eventlog_writer *w)
{
	if (w && w->ring) {
		munmap(w->ring, RING_FILE_SIZE);
		w->ring = NULL;
	}
}

unsigned char *eventlog_begin(struct eventlog_writer *w, struct event *e)
{
	struct eventlog_ring *ring = w->ring;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	uint64_t room = EVENTLOG_RING_SIZE - (head - tail);
	uint64_t most = sizeof(struct frame) + EVENT_PACKED_MAX;
	uint64_t end = to_end(head), pad = end < most ? end : 0;

	/*
	 * Room for the largest event is asked for, whatever this one needs, so that
	 * it is packed in its place and never copied.
	 */
	if (head - tail > EVENTLOG_RING_SIZE || room < pad + most) {
		atomic_fetch_add_explicit(&ring->refused, 1, memory_order_relaxed);
		return NULL;
	}
	if (pad > 0) {
		struct frame frame = { .size = (uint32_t)pad, .kind = FRAME_PAD };
		memcpy(place(ring, head), &frame, sizeof(frame));
	}
	unsigned char *at = place(ring, head + pad);
	unsigned char *packed = at + sizeof(struct frame);

	w->seq = atomic_fetch_add_explicit(&ring->seq, 1, memory_order_relaxed) + 1;
	e->seq = w->seq;
	size_t len = event_pack(e, packed, EVENT_PACKED_MAX);
	struct frame frame = { .size = (uint32_t)(sizeof(frame) + len), .kind = FRAME_EVENT };
	memcpy(at, &frame, sizeof(frame));
	atomic_store_explicit(&ring->begun, head + pad + frame.size, memory_order_release);
	return packed;
}

void eventlog_publish(struct eventlog_writer *w)
{
	struct eventlog_ring *ring = w->ring;
	uint64_t begun = atomic_load_explicit(&ring->begun, memory_order_relaxed);

	atomic_store_explicit(&ring->head, begun, memory_order_release);
	/* Pairs with eventlog_reader_sleep: one of the two sees what the other wrote. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&ring->sleeping, memory_order_relaxed) &&
	    atomic_exchange_explicit(&ring->sleeping, 0, memory_order_relaxed) && w->wake_fd >= 0) {
		uint64_t one = 1;
		/* A full counter means that the reader is being woken already. */
		ssize_t ignored = write(w->wake_fd, &one, sizeof(one));
		(void)ignored;
	}
}

bool eventlog_wait(struct eventlog_writer *w)
{
	struct eventlog_ring *ring = w->ring;
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		if (atomic_load_explicit(&ring->stuck, memory_order_relaxed))
			return false;
		if (atomic_load_explicit(&ring->tail, memory_order_acquire) != tail)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

uint64_t eventlog_take_refused(struct eventlog_writer *w)
{
	return atomic_exchange_explicit(&w->ring->refused, 0, memory_order_relaxed);
}

/* The line ends in ,"hash":"<64 digits>"}: returns where that member begins, NULL if it does not. */
static const char *find_hash(const char *line, size_t len)
{
	static const char member[] = ",\"hash\":\"";
	size_t tail = sizeof(member) - 1 + EVENT_HASH_HEX - 1 + 2;

	if (len < tail)
		return NULL;
	const char *at = line + len - tail;
	if (memcmp(at, member, sizeof(member) - 1) != 0 || memcmp(line + len - 2, "\"}", 2) != 0)
		return NULL;
	return at;
}

static const char *hash_digits(const char *hash_member)
{
	return strchr(hash_member, ':') + 2;
}

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
		return err_sys(err, errno, "cannot stat %s", log_name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EBADMSG, "%s is not a regular file", log_name);

	/* At worst: a whole line, its newline, and a torn one. */
	size_t size = 2 * (size_t)EVENT_JSON_MAX + 2;
	cleanup_free char *tail = malloc(size);
	if (!tail)
		return err_sys(err, ENOMEM, "cannot read %s", log_name);
	ssize_t n = read_before(r->fd, st.st_size, tail, size);
	if (n < 0)
		return err_sys(err, (int)-n, "cannot read %s", log_name);

	size_t len = (size_t)n;
	while (len > 0 && tail[len - 1] != '\n')
		len--;
	if (len == 0 && (size_t)n == size)
		return err_set(err, EBADMSG, "%s does not end in a line of this log", log_name);
	r->size = st.st_size - (off_t)((size_t)n - len);
	if (r->size < st.st_size && ftruncate(r->fd, r->size) < 0)
		return err_sys(err, errno, "cannot cut the torn last line of %s", log_name);
	if (len == 0)
		return 0;

	size_t end = len - 1, start = end;
	while (start > 0 && tail[start - 1] != '\n')
		start--;
	const char *hash = find_hash(tail + start, end - start);
	if (!hash)
		return err_set(err, EBADMSG, "the last line of %s has no hash to continue from",
			       log_name);
	memcpy(r->prev, hash_digits(hash), EVENT_HASH_HEX - 1);
	r->last_seq = line_seq(tail + start, end - start);
	return 0;
}

/* Adds one line, whole or not at all. */
static int write_line(struct eventlog_reader *r, const struct event *e)
{
	struct buf line;
	char hash[EVENT_HASH_HEX];

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
	struct frame frame;
	memcpy(&frame, place(r->ring, tail), sizeof(frame));
	if (frame.size < sizeof(frame) || frame.size % 8 != 0 || frame.size > head - tail ||
	    frame.size > to_end(tail))
		return 0;
	if (frame.kind == FRAME_EVENT) {
		size_t len = frame.size - sizeof(frame);
		if (len > sizeof(r->record))
			return 0;
		memcpy(r->record, place(r->ring, tail) + sizeof(frame), len);
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
	if (event_unpack(r->record, size - sizeof(struct frame), &e) < 0)
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
			if (event_unpack(r->record, size - sizeof(struct frame), &e) == 0 &&
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
		return err_sys(err, ENOMEM, "cannot read %s", ring_name);
	memcpy(r->session, session, strlen(session));

	int res;
	r->fd = openat(dirfd, log_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		       0600);
	if (r->fd < 0)
		res = err_sys(err, errno, "cannot open %s", log_name);
	else if (flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		res = errno == EWOULDBLOCK
			      ? err_set(err, EBUSY, "another process reads this session's log")
			      : err_sys(err, errno, "cannot lock %s", log_name);
	else
		res = ring_map(dirfd, &r->ring, err);
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
	if (r->ring)
		munmap(r->ring, RING_FILE_SIZE);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

/* One line without its newline; @prev is the hash before and becomes this one's. */
static bool verify_line(const char *line, size_t len, char prev[static EVENT_HASH_HEX])
{
	char hash[EVENT_HASH_HEX], expected[sizeof(",\"prev\":\"\"") + EVENT_HASH_HEX];
	struct buf b;

	const char *member = find_hash(line, len);
	if (!member)
		return false;
	size_t hashed = (size_t)(member - line);
	buf_init(&b, expected, sizeof(expected));
	buf_printf(&b, ",\"prev\":\"%s\"", prev);
	if (hashed < b.len || memcmp(member - b.len, expected, b.len) != 0)
		return false;
	event_hash(line, hashed, hash);
	if (memcmp(hash, hash_digits(member), EVENT_HASH_HEX - 1) != 0)
		return false;
	memcpy(prev, hash, sizeof(hash));
	return true;
}

int eventlog_verify(int dirfd, uint64_t *ret_events, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, log_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open %s", log_name);
	cleanup_file FILE *f = fdopen(fd, "re");
	if (!f)
		return err_sys(err, errno, "cannot read %s", log_name);
	take_fd(&fd);
	cleanup_free char *line = malloc(EVENT_JSON_MAX + 2);
	if (!line)
		return err_sys(err, ENOMEM, "cannot read %s", log_name);

	char prev[EVENT_HASH_HEX] = "";
	uint64_t count = 0;
	size_t len = 0;
	for (int c = getc_unlocked(f); c != EOF; c = getc_unlocked(f)) {
		if (c != '\n') {
			if (len > EVENT_JSON_MAX)
				break;
			line[len++] = (char)c;
			continue;
		}
		if (!verify_line(line, len, prev))
			break;
		count++;
		len = 0;
	}
	if (ferror(f))
		return err_sys(err, EIO, "cannot read %s", log_name);
	if (len > 0 || !feof(f))
		return err_set(err, EBADMSG, "line %llu of %s is not what was written",
			       (unsigned long long)count + 1, log_name);
	*ret_events = count;
	return 0;
}
