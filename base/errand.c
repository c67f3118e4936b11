#include "base/errand.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/scope.h"

enum { ERRAND_MAGIC = 0x65727231, FD_COUNT = 3 };

struct header {
	uint32_t magic;
	uint32_t argc, envc;
	uint32_t has_script;
	uint64_t strings_len, script_len; /* bytes */
};

union fds_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(FD_COUNT * sizeof(int))];
};

static int send_all(int sock, const void *bytes, size_t len)
{
	for (const char *at = bytes; len;) {
		ssize_t n = send(sock, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_all(int sock, void *bytes, size_t len)
{
	for (char *at = bytes; len;) {
		ssize_t n = recv(sock, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_header(int sock, const struct header *h, const int *fds)
{
	union fds_message control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)h, .iov_len = sizeof(*h) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(FD_COUNT * sizeof(int));
	memcpy(CMSG_DATA(c), fds, FD_COUNT * sizeof(int));
	ssize_t n;
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == (ssize_t)sizeof(*h) ? 0 : -EIO;
}

static int receive_header(int sock, struct header *h, int *fds)
{
	union fds_message control;
	struct iovec iov = { .iov_base = h, .iov_len = sizeof(*h) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(FD_COUNT * sizeof(int)))
		memcpy(fds, CMSG_DATA(c), FD_COUNT * sizeof(int));
	return n == (ssize_t)sizeof(*h) && fds[0] >= 0 ? 0 : -EBADMSG;
}

static size_t count(char *const *words, size_t *len)
{
	size_t n = 0;
	for (; words[n]; n++)
		*len += strlen(words[n]) + 1;
	return n;
}

static int send_words(int sock, char *const *words)
{
	int r = 0;
	for (; r == 0 && *words; words++)
		r = send_all(sock, *words, strlen(*words) + 1);
	return r;
}

int errand_send(int sock, const struct errand *e, struct err *err)
{
	size_t len = strlen(e->cwd) + 1;
	size_t argc = count(e->argv, &len), envc = count(e->envp, &len);
	const struct header h = {
		.magic = ERRAND_MAGIC,
		.argc = (uint32_t)argc,
		.envc = (uint32_t)envc,
		.has_script = e->script != NULL,
		.strings_len = len,
		.script_len = e->script_len,
	};
	if (argc > ERRAND_WORDS_MAX || envc > ERRAND_WORDS_MAX || len > ERRAND_TEXT_MAX ||
	    e->script_len > ERRAND_TEXT_MAX)
		return err_set(err, E2BIG, "the command, its variables or its script are too long");
	int r = send_header(sock, &h, e->fds);
	if (r == 0)
		r = send_all(sock, e->cwd, strlen(e->cwd) + 1);
	if (r == 0)
		r = send_words(sock, e->argv);
	if (r == 0)
		r = send_words(sock, e->envp);
	if (r == 0)
		r = send_all(sock, e->script, e->script_len);
	return r < 0 ? err_sys(err, -r, "the sandbox takes no command") : 0;
}

/* The next word of [*@at, @end); NULL when there is none that ends there. */
static char *next_word(char **at, const char *end)
{
	char *word = *at;
	char *zero = word < end ? memchr(word, '\0', (size_t)(end - word)) : NULL;
	if (zero)
		*at = zero + 1;
	return zero ? word : NULL;
}

/* @words: room for @n and a NULL. */
static int take_words(char **at, const char *end, char **words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		words[i] = next_word(at, end);
		if (!words[i])
			return -EBADMSG;
	}
	words[n] = NULL;
	return 0;
}

int errand_receive(int sock, struct errand *ret, void **ret_text)
{
	struct header h = { 0 };
	*ret = (struct errand){ .fds = { -1, -1, -1 } };
	*ret_text = NULL;
	int r = receive_header(sock, &h, ret->fds);
	if (r < 0)
		return r;
	if (h.magic != ERRAND_MAGIC || h.argc > ERRAND_WORDS_MAX || h.envc > ERRAND_WORDS_MAX ||
	    h.strings_len > ERRAND_TEXT_MAX || h.script_len > ERRAND_TEXT_MAX)
		return -EBADMSG;
	size_t words = (h.argc + h.envc + 2) * sizeof(char *);
	char **list = malloc(words + (size_t)h.strings_len + (size_t)h.script_len + 1);
	if (!list)
		return -ENOMEM;
	*ret_text = list;
	char *strings = (char *)list + words, *end = strings + h.strings_len;
	r = receive_all(sock, strings, (size_t)(h.strings_len + h.script_len));
	if (r < 0)
		return r;
	char *at = strings;
	ret->argv = list;
	ret->envp = list + h.argc + 1;
	ret->cwd = next_word(&at, end);
	r = ret->cwd ? take_words(&at, end, list, h.argc) : -EBADMSG;
	if (r == 0)
		r = take_words(&at, end, list + h.argc + 1, h.envc);
	if (r < 0 || at != end)
		return -EBADMSG;
	end[h.script_len] = '\0';
	ret->script = h.has_script ? end : NULL;
	ret->script_len = (size_t)h.script_len;
	return 0;
}
