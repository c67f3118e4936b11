/* The client's side of the control socket. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "launcher/control.h"
#include "launcher/session_direct.h"

enum { REPLY_MAX = PACKET_TEXT * 2 };

static int dial(const struct session *s, int timeout_ms)
{
	const char *path = session_text(s, "control");
	const char *slash = strrchr(path, '/');
	char dir[STATE_PATH_SIZE];
	if (!slash || (size_t)(slash - path) >= sizeof(dir) || strlen(slash + 1) > 64)
		return -ECONNREFUSED;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	cleanup_fd int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (dirfd < 0 || fd < 0)
		return dirfd < 0 ? -ECONNREFUSED : -errno;
	/* Nobody accepts at a stopped gateway: behind a full queue a connect would wait for ever. */
	struct timeval patience = { .tv_sec = timeout_ms / 1000,
				    .tv_usec = timeout_ms % 1000 * 1000L };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%.64s", dirfd,
		 slash + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == ENOENT ? -ECONNREFUSED : errno == EAGAIN ? -ETIMEDOUT : -errno;
	return take_fd(&fd);
}

/* @text and a newline; few enough bytes for the socket to take them whole. 0, -errno. */
static int send_line(int fd, const char *text)
{
	struct iovec line[] = {
		{ .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) },
		{ .iov_base = "\n", .iov_len = 1 },
	};
	struct msghdr m = { .msg_iov = line, .msg_iovlen = 2 };
	ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
	return n < 0 ? -errno : (size_t)n == line[0].iov_len + 1 ? 0 : -EIO;
}

/* One line, without its newline, in @text. 0, -errno. */
static int read_line(int fd, int timeout_ms, char *text, size_t size)
{
	uint64_t until = clock_ms() + (uint64_t)timeout_ms;
	for (size_t used = 0; used < size - 1;) {
		uint64_t now = clock_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int ready = now >= until ? 0 : poll(&p, 1, (int)(until - now));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return ready < 0 ? -errno : -ETIMEDOUT;
		ssize_t n = recv(fd, text + used, size - 1 - used, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		used += (size_t)n;
		text[used] = '\0';
		if (text[used - 1] == '\n') {
			text[used - 1] = '\0';
			return 0;
		}
	}
	return -EMSGSIZE;
}

static int understand(const char *text, struct json_object **ret_result, struct err *err)
{
	struct json_object *reply = json_tokener_parse(text), *ok, *member;
	int r = 0;
	if (!json_object_object_get_ex(reply, "ok", &ok))
		r = err_set(err, EPROTO, "the session's reply is not understood");
	else if (!json_object_get_boolean(ok))
		r = err_set(err,
			    json_object_object_get_ex(reply, "errno", &member) &&
					    json_object_get_int(member) > 0
				    ? json_object_get_int(member)
				    : EIO,
			    "%s",
			    json_object_object_get_ex(reply, "error", &member)
				    ? json_object_get_string(member)
				    : "refused");
	else if (ret_result)
		*ret_result = json_object_get(json_object_object_get(reply, "result"));
	json_object_put(reply);
	return r;
}

/* What is to take effect before the gateway finds time for it. */
static enum nudge nudge_of(const char *request)
{
	return !strcmp(request, "pause")  ? NUDGE_PAUSE
	       : !strcmp(request, "kill") ? NUDGE_END
					  : NUDGE_NONE;
}

int control_call(const struct session *s, const char *request, struct json_object *argument,
		 int timeout_ms, struct json_object **ret_result, struct err *err)
{
	cleanup_fd int fd = dial(s, timeout_ms);
	if (fd < 0)
		return err_sys(err, -fd, "session %s cannot be reached", s->id);
	enum nudge nudge = nudge_of(request);
	/* whether it came or not, the reply tells */
	bool nudged = nudge != NUDGE_NONE && session_nudge(s, nudge) == 0;
	struct json_object *line = json_object_new_object();
	json_object_object_add(line, "schema_version", json_object_new_int(CONTROL_SCHEMA_VERSION));
	json_object_object_add(line, "request", json_object_new_string(request));
	if (argument) {
		json_object_object_foreach(argument, key, value)
		{
			json_object_object_add(line, key, json_object_get(value));
		}
	}
	const char *text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN);
	cleanup_free char *reply = malloc(REPLY_MAX);
	int r = !reply ? -ENOMEM : send_line(fd, text);
	json_object_put(line);
	if (r == 0)
		r = read_line(fd, timeout_ms, reply, REPLY_MAX);
	/* The nudge was faster: the tree was gone, and its gateway, before it came to read what was asked. */
	if (nudge == NUDGE_END && nudged && (r == -ECONNRESET || r == -EPIPE)) {
		if (ret_result)
			*ret_result = NULL;
		return 0;
	}
	if (r == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "session %s does not answer (is it stopped?)",
			       s->id);
	if (r < 0)
		return err_sys(err, -r, "session %s", s->id);
	return understand(reply, ret_result, err);
}
