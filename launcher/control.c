#include "launcher/control.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/approvals.h"
#include "launcher/log.h"
#include "launcher/term.h"

enum { BACKLOG = 16 };

/* A directory of this user's alone, made when missing. */
static int open_private(int dirfd, const char *name)
{
	struct stat st;
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && !(st.st_mode & 077) ? take_fd(&fd) : -EPERM;
}

/* Where the socket goes: its directory, its name there, its path for others to read. */
static int choose_place(struct control *c, const struct session *s, struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	cleanup_fd int up =
		runtime && *runtime == '/' ? open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat st;
	if (up >= 0 && fstat(up, &st) == 0 && st.st_uid == geteuid()) {
		c->dir_fd = open_private(up, "vsandbox");
		snprintf(c->name, sizeof(c->name), "%s.sock", s->id);
		if (c->dir_fd >= 0 && snprintf(c->path, sizeof(c->path), "%s/vsandbox/%s", runtime,
					       c->name) < (int)sizeof(c->path))
			return 0;
		scope_close(&c->dir_fd);
	}
	snprintf(c->name, sizeof(c->name), "control.sock");
	c->dir_fd = fcntl(s->dirfd, F_DUPFD_CLOEXEC, 3);
	if (c->dir_fd < 0)
		return err_sys(err, errno, "cannot make the control socket");
	if (snprintf(c->path, sizeof(c->path), "%s/%s", s->path, c->name) >= (int)sizeof(c->path))
		return err_set(err, ENAMETOOLONG, "cannot make the control socket");
	return 0;
}

/* A name of any length, in the 108 bytes that a socket's address has. */
static void address_in(int dirfd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%.64s", dirfd, name);
}

int control_open(struct control *c, const struct session *s, const struct control_host *host,
		 struct err *err)
{
	c->host = *host;
	int r = choose_place(c, s, err);
	if (r < 0)
		return r;
	struct sockaddr_un address;
	address_in(c->dir_fd, c->name, &address);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlinkat(c->dir_fd, c->name, 0); /* what a killed gateway of this session has left */
	mode_t old = umask(0177);        /* the socket is never there with another mode */
	r = c->fd < 0 || bind(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
			    listen(c->fd, BACKLOG) < 0
		    ? -errno
		    : 0;
	umask(old);
	if (r < 0)
		return err_sys(err, -r, "cannot make the control socket %s", c->path);
	return 0;
}

static void hang_up(struct control_client *client)
{
	scope_close(&client->fd);
	free(client->out);
	client->out = NULL;
	client->fd = -1;
	client->ticket = 0;
	client->used = client->out_len = client->out_sent = 0;
}

void control_close(struct control *c)
{
	if (c->fd >= 0)
		unlinkat(c->dir_fd, c->name, 0);
	for (unsigned i = 0; c->clients && i < CONTROL_CLIENTS; i++)
		hang_up(&c->clients[i]);
	free(c->clients);
	c->clients = NULL;
	scope_close(&c->fd);
	scope_close(&c->dir_fd);
	c->fd = c->dir_fd = -1;
}

/* This user or root, and not from inside: there the same user's number is the agent's. */
static bool welcome(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct stat own, other;
	char name[64];
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (peer.uid == 0 && geteuid() != 0)
		return true; /* rootless, nothing inside is root of the host */
	snprintf(name, sizeof(name), "/proc/%d/ns/pid", peer.pid);
	return peer.uid == geteuid() && peer.pid > 0 && stat("/proc/self/ns/pid", &own) == 0 &&
	       stat(name, &other) == 0 && own.st_ino == other.st_ino;
}

/* With the first client: most sessions have none. */
static bool have_places(struct control *c)
{
	if (c->clients)
		return true;
	c->clients = calloc(CONTROL_CLIENTS, sizeof(*c->clients));
	for (unsigned i = 0; c->clients && i < CONTROL_CLIENTS; i++)
		c->clients[i].fd = -1;
	return c->clients != NULL;
}

static void admit(struct control *c)
{
	cleanup_fd int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || !welcome(fd) || !have_places(c))
		return;
	/* A free place, else that of whoever has sat idle the longest. */
	struct control_client *place = NULL;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct control_client *client = &c->clients[i];
		if (client->fd >= 0 && (client->ticket || client->out))
			continue;
		if (!place || (place->fd >= 0 && (client->fd < 0 || client->since < place->since)))
			place = client;
	}
	if (!place)
		return;
	hang_up(place);
	place->fd = take_fd(&fd);
	place->since = ++c->arrivals;
}

static void send_rest(struct control_client *client)
{
	while (client->out && client->out_sent < client->out_len) {
		ssize_t n = send(client->fd, client->out + client->out_sent,
				 client->out_len - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			hang_up(client);
			return;
		}
		client->out_sent += (size_t)n;
	}
	free(client->out);
	client->out = NULL;
	client->out_len = client->out_sent = 0;
}

void control_answer(struct control *c, struct control_client *client, int result, const char *text)
{
	(void)c;
	client->ticket = 0;
	FILE *f = open_memstream(&client->out, &client->out_len);
	if (!f) {
		hang_up(client);
		return;
	}
	fprintf(f, "{\"schema_version\":%d,\"ok\":%s", CONTROL_SCHEMA_VERSION,
		result < 0 ? "false" : "true");
	if (result < 0) {
		json_member(f, false, "error", *text ? text : strerrordesc_np(-result));
		fprintf(f, ",\"errno\":%d}\n", -result);
	} else {
		fprintf(f, ",\"result\":%s}\n", *text ? text : "{}");
	}
	if (fclose(f) != 0) {
		hang_up(client);
		return;
	}
	send_rest(client);
}

void control_begin(struct control *c, struct control_client *client)
{
	c->tickets = c->tickets < APPROVALS_TICKET - 1 ? c->tickets + 1 : 1; /* 0 is none */
	client->ticket = c->tickets;
}

void control_ask(struct control *c, struct control_client *client, enum monitor_request what,
		 const char *argument)
{
	control_begin(c, client);
	int r = c->host.ask(c->host.gateway, what, argument, client->ticket);
	if (r < 0)
		control_answer(c, client, r, "the monitor takes no request now");
}

void control_reply(struct control *c, uint32_t ticket, int result, const char *text)
{
	for (unsigned i = 0; ticket && c->clients && i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].ticket == ticket)
			control_answer(c, &c->clients[i], result, text);
}

/* One line of a client's. */
static void take_line(struct control *c, struct control_client *client, const char *line)
{
	struct json_object *request = json_tokener_parse(line), *name;
	control_request_fn *handler = NULL;
	if (request && json_object_is_type(request, json_type_object) &&
	    json_object_object_get_ex(request, "request", &name) &&
	    json_object_is_type(name, json_type_string))
		handler = control_request_find(json_object_get_string(name));
	if (handler)
		handler(c, client, request);
	else
		control_answer(c, client, -EINVAL,
			       request ? "there is no such request" : "this is not a JSON object");
	json_object_put(request);
}

/* Lines that are there, while none of the client's is under way. */
static void take_lines(struct control *c, struct control_client *client)
{
	char *end;
	while (client->fd >= 0 && !client->ticket && !client->out &&
	       (end = memchr(client->in, '\n', client->used))) {
		char line[CONTROL_LINE];
		size_t len = (size_t)(end - client->in);
		memcpy(line, client->in, len);
		line[len] = '\0';
		client->used -= len + 1;
		memmove(client->in, end + 1, client->used);
		take_line(c, client, line);
	}
}

static void serve_client(struct control *c, struct control_client *client, short events)
{
	if (events & POLLOUT)
		send_rest(client);
	if (client->fd >= 0 && events & (POLLIN | POLLHUP | POLLERR)) {
		ssize_t n = recv(client->fd, client->in + client->used,
				 sizeof(client->in) - client->used, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			hang_up(client);
			return;
		}
		client->used += n > 0 ? (size_t)n : 0;
	}
	take_lines(c, client);
	if (client->fd >= 0 && client->used == sizeof(client->in) &&
	    !memchr(client->in, '\n', client->used))
		hang_up(client); /* longer than any request is */
}

void control_polls(const struct control *c, struct pollfd *fds)
{
	fds[0] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		const struct control_client *client = c->clients ? &c->clients[i] : NULL;
		fds[i + 1] = (struct pollfd){ .fd = client ? client->fd : -1 };
		if (client && client->used < sizeof(client->in))
			fds[i + 1].events = POLLIN;
		if (client && client->out)
			fds[i + 1].events = POLLOUT; /* first let it read what it has asked for */
	}
}

void control_serve(struct control *c, const struct pollfd *fds)
{
	for (unsigned i = 0; c->clients && i < CONTROL_CLIENTS; i++)
		if (fds[i + 1].revents && c->clients[i].fd == fds[i + 1].fd)
			serve_client(c, &c->clients[i], fds[i + 1].revents);
	if (fds[0].revents)
		admit(c);
}
