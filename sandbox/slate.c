#include "sandbox/slate.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

/*
 * Open addressing by id. Ids begin at random and count up, so that calls of one listener lie side by side. What
 * finds no room within PROBES is not put down: after a restart its caller waits until a signal ends it.
 */
enum { SLOTS = 65536, PROBES = 256, BEGUN = 65536 };

struct slot {
	uint64_t id; /* 0 free; the kernel could begin at 0, once in 2^64 */
	uint32_t number;
	uint32_t unused;
};

struct slate {
	char session[SLATE_SESSION_SIZE];
	uint8_t begun[BEGUN]; /* by number, round and round: far more than live at once */
	struct slot slots[SLOTS];
};

int slate_create(void)
{
	cleanup_fd int fd = memfd_create("vsandbox-slate", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, sizeof(struct slate)) < 0)
		return -errno;
	return take_fd(&fd);
}

struct slate *slate_open(int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct slate)) {
		err_set(err, EPROTO, "what was kept of the calls under way has another size");
		return NULL;
	}
	struct slate *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED) {
		err_sys(err, errno, "no memory for the calls under way");
		return NULL;
	}
	return s;
}

void slate_close(struct slate *s)
{
	if (s)
		munmap(s, sizeof(*s));
}

void slate_sign(struct slate *s, const char *session)
{
	snprintf(s->session, sizeof(s->session), "%s", session);
}

void slate_signed(const struct slate *s, char ret[static SLATE_SESSION_SIZE])
{
	memcpy(ret, s->session, SLATE_SESSION_SIZE);
	ret[SLATE_SESSION_SIZE - 1] = '\0';
}

/* The number follows the id: a slot whose number does not fit yet is answered in vain, which harms nobody. */
void slate_put(struct slate *s, uint32_t number, uint64_t id)
{
	for (unsigned i = 0; s && i < PROBES; i++) {
		struct slot *slot = &s->slots[(id + i) % SLOTS];
		uint64_t none = 0;
		if (__atomic_compare_exchange_n(&slot->id, &none, id, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			slot->number = number;
			return;
		}
	}
}

void slate_wipe(struct slate *s, uint32_t number, uint64_t id)
{
	for (unsigned i = 0; s && i < PROBES; i++) {
		struct slot *slot = &s->slots[(id + i) % SLOTS];
		if (__atomic_load_n(&slot->id, __ATOMIC_ACQUIRE) == id && slot->number == number) {
			__atomic_store_n(&slot->id, 0, __ATOMIC_RELEASE);
			return;
		}
	}
}

void slate_begin(struct slate *s, uint32_t number)
{
	if (s)
		s->begun[number % BEGUN] = 1;
}

void slate_forget(struct slate *s, uint32_t number)
{
	s->begun[number % BEGUN] = 0;
}

bool slate_begun(const struct slate *s, uint32_t number)
{
	return s->begun[number % BEGUN];
}

void slate_take(struct slate *s, uint32_t number, void (*each)(void *arg, uint64_t id), void *arg)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &s->slots[i];
		if (slot->id == 0 || slot->number != number)
			continue;
		each(arg, slot->id);
		slot->id = 0;
	}
}
