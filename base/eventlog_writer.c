/* The monitor's side of the log: an event into the segment, and its publication. */
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/eventlog_ring.h"

enum { WAIT_MS = 5000 /* a reader that is alive and starved makes room long before */ };

int eventlog_number_after(int dirfd, int before_dirfd, struct err *err)
{
	struct eventlog_ring *ring, *before;
	int r = eventlog_ring_map(before_dirfd, &before, err);
	if (r < 0)
		return r;
	r = eventlog_ring_map(dirfd, &ring, err);
	if (r == 0) {
		atomic_store(&ring->seq, atomic_load(&before->seq));
		eventlog_ring_unmap(ring);
	}
	eventlog_ring_unmap(before);
	return r;
}

int eventlog_writer_open(int dirfd, int wake_fd, struct eventlog_writer *ret, struct err *err)
{
	struct eventlog_ring *ring;
	int r = eventlog_ring_map(dirfd, &ring, err);
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
	if (!w)
		return;
	eventlog_ring_unmap(w->ring);
	w->ring = NULL;
}

unsigned char *eventlog_begin(struct eventlog_writer *w, struct event *e)
{
	struct eventlog_ring *ring = w->ring;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	uint64_t room = EVENTLOG_RING_SIZE - (head - tail);
	uint64_t most = sizeof(struct eventlog_frame) + EVENT_PACKED_MAX;
	uint64_t end = eventlog_ring_to_end(head), pad = end < most ? end : 0;

	/*
	 * Room for the largest event is asked for, whatever this one needs, so that
	 * it is packed in its place and never copied.
	 */
	if (head - tail > EVENTLOG_RING_SIZE || room < pad + most) {
		atomic_fetch_add_explicit(&ring->refused, 1, memory_order_relaxed);
		return NULL;
	}
	if (pad > 0) {
		struct eventlog_frame frame = { .size = (uint32_t)pad, .kind = FRAME_PAD };
		memcpy(eventlog_ring_at(ring, head), &frame, sizeof(frame));
	}
	unsigned char *at = eventlog_ring_at(ring, head + pad);
	unsigned char *packed = at + sizeof(struct eventlog_frame);

	w->seq = atomic_fetch_add_explicit(&ring->seq, 1, memory_order_relaxed) + 1;
	e->seq = w->seq;
	size_t len = event_pack(e, packed, EVENT_PACKED_MAX);
	struct eventlog_frame frame = { .size = (uint32_t)(sizeof(frame) + len),
					.kind = FRAME_EVENT };
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
