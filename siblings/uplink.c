/*
 * vsandbox-uplink session MASKING STATE ID BUDGET | flush MASKING STATE | check MASKING STATE; the server's JSON on
 * descriptor 3. MASKING is masked or plain, BUDGET bytes of the log that may wait, 0 no limit.
 */
#include "siblings/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/scope.h"

enum {
	SERVER_FD = 3,
	PATIENCE_MS = 10000, /* after the session's end, while the server does not answer */
	FLUSH_MS = 20000,    /* for each session that has left something */
	CHECK_SECONDS = 10,
};

/* Reports or not: uplink.json says that it was, and whether all was delivered. */
static bool has_left(const struct session *s)
{
	char text[1024] = "";
	cleanup_fd int fd = openat(s->dirfd, "uplink.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	struct json_object *o = json_tokener_parse(text);
	struct json_object *delivered = json_object_object_get(o, "delivered");
	bool left = json_object_is_type(delivered, json_type_boolean) &&
		    !json_object_get_boolean(delivered);
	json_object_put(o);
	return left;
}

/* Delivers what ended sessions have left, if @server; returns how many sessions still have some. */
static unsigned deliver_left(const struct server *server, const char *state_path)
{
	struct session *list = NULL;
	struct err err;
	unsigned left = 0;
	cleanup_fd int state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = state < 0 ? 0 : session_list(state, state_path, &list, &err);
	bool answers = server != NULL;
	/* the oldest first */
	for (int i = count - 1; i >= 0; i--) {
		struct session *s = &list[i];
		s->dirfd = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (s->dirfd < 0 || s->state == SESSION_RUNNING || !has_left(s))
			continue;
		int r = answers ? uplink_follow(server, s, UPLINK_NONE, 0, FLUSH_MS, &err) : 0;
		left += r != 1 && r != -EBUSY;
		answers = answers && (r == 1 || r == -EBUSY);
	}
	session_list_free(list, count < 0 ? 0 : count);
	return left;
}

static int run_session(const struct server *server, const char *state_path, const char *id,
		       uint64_t budget)
{
	struct session s = { .dirfd = -1 };
	struct err err;
	cleanup_fd int state = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = state < 0 ? -errno : session_open(state, state_path, id, &s, &err);
	if (r < 0)
		return 1;
	r = uplink_follow(server, &s, UPLINK_STAYS, budget, PATIENCE_MS, &err);
	session_close(&s);
	if (r == 1)
		deliver_left(server, state_path);
	return r == 1 ? 0 : 1;
}

/* Asks for what needs a valid key of role agent and changes nothing. */
static int run_check(const struct server *server, struct err *err)
{
	struct uplink_http http;
	struct exchange e = { .easy = NULL };
	int r = uplink_http_init(&http, server, err);
	if (r == 0)
		r = exchange_begin(&http, &e, "/api/risk/score?action_type=file_read", NULL,
				   CHECK_SECONDS);
	while (r == 0 && !exchange_ended(&e))
		uplink_http_wait(&http, -1, 1000);
	if (r == 0)
		r = exchange_result(&e, err);
	if (r == -EACCES && e.status == 403)
		err_set(err, EACCES,
			"the server knows the key, but its role cannot report; make "
			"one of role agent");
	exchange_finish(&http, &e);
	uplink_http_finish(&http);
	return r;
}

static void answer(int r, const char *error, unsigned left)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "ok", json_object_new_boolean(r == 0));
	json_object_object_add(o, "left", json_object_new_int64(left));
	if (r < 0) {
		json_object_object_add(o, "errno", json_object_new_int(-r));
		json_object_object_add(o, "error", json_object_new_string(error));
	}
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

int main(int argc, char **argv)
{
	static struct server server;
	struct err err = { "" };
	bool session = argc == 6 && !strcmp(argv[1], "session");
	bool flush = argc == 4 && !strcmp(argv[1], "flush");
	if (!session && !flush && (argc != 4 || strcmp(argv[1], "check") != 0)) {
		fputs("vsandbox-uplink is started by vsandbox\n", stderr);
		return 125;
	}
	/* no core file holds the key; not undumpable, since the gateway looks up our namespaces when we call */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	int r = server_read(SERVER_FD, &server, &err);
	close(SERVER_FD);
	server.plain = strcmp(argv[2], "plain") == 0;
	if (session)
		return r < 0 ? 1
			     : run_session(&server, argv[3], argv[4], strtoull(argv[5], NULL, 10));
	if (r == 0)
		r = run_check(&server, &err);
	unsigned left = deliver_left(flush && r == 0 ? &server : NULL, argv[3]);
	answer(r, err.text, left);
	return 0;
}
