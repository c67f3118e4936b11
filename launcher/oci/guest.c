#include "launcher/oci/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "launcher/jsonfile.h"
#include "launcher/log.h"
#include "launcher/oci/worker.h"
#include "launcher/session.h"
#include "sandbox/monitor.h"
#include "sandbox/slate.h"

/* What is kept is called vs-KEY-WHAT: the claim, the slate, or a listener by its number. */
static const char kept_prefix[] = "vs-";

enum { RECENT = 4096 };

static void new_guest(struct oci_guest *g)
{
	*g = (struct oci_guest){ .channel_fd = -1, .slate_fd = -1, .worker_pidfd = -1 };
}

void oci_guest_finish(struct oci_guest *g)
{
	scope_close(&g->channel_fd);
	scope_close(&g->slate_fd);
	scope_close(&g->worker_pidfd);
	new_guest(g);
}

static void keep(const struct oci_guest *g, const char *what, int fd)
{
	char text[128];
	if (!service_there())
		return;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s%s-%s", kept_prefix, g->key, what);
	service_tell(text, fd);
}

static void keep_not(const char *name)
{
	char text[128];
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	service_tell(text, -1);
}

/* The claim as a file without a name: only the manager and we have it. */
static int claim_file(const struct oci_guest *g)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "uid", json_object_new_int64(g->uid));
	json_object_object_add(o, "id", json_object_new_string(g->id));
	json_object_object_add(o, "bundle", json_object_new_string(g->bundle));
	json_object_object_add(o, "policy", json_object_new_string(g->policy));
	json_object_object_add(o, "init", json_object_new_int(g->init));
	json_object_object_add(o, "ticks", json_object_new_uint64(g->init_ticks));
	const char *text = json_object_to_json_string(o);
	cleanup_fd int fd = memfd_create("vsandbox-claim", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	json_object_put(o);
	return r < 0 ? r : take_fd(&fd);
}

static int send_listener(const struct oci_guest *g, const struct container_packet *m, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct container_packet copy = *m;
	struct iovec iov = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			       .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(g->channel_fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void keep_listener(const struct oci_guest *g, uint32_t number, int fd)
{
	char what[16];
	snprintf(what, sizeof(what), "%u", number);
	keep(g, what, fd);
}

int oci_guest_add(struct oci_guest *g, pid_t pid, int listener_fd, struct err *err)
{
	cleanup_fd int fd = listener_fd;
	const struct container_packet m = { .number = g->next, .pid = pid };
	int r = send_listener(g, &m, fd);
	if (r < 0)
		return err_sys(err, -r, "the session of container %s takes no listener", g->id);
	keep_listener(g, g->next++, fd);
	return 0;
}

/* Others' channels among them: an end that is open here would keep their containers from seeing ours. */
static void close_all_but(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
}

/* Starts the worker; what is in the channel by then is served by it. @monitor_end is taken over. */
static int start_worker(struct oci_guest *g, int monitor_end, struct err *err)
{
	cleanup_fd int theirs = monitor_end;
	g->worker = fork();
	if (g->worker < 0)
		return err_sys(err, errno, "no process for container %s", g->id);
	if (g->worker == 0) {
		close_all_but(theirs, g->slate_fd);
		const struct container_plan plan = { .channel_fd = take_fd(&theirs),
						     .slate_fd = g->slate_fd,
						     .peer = g->uid };
		_exit(oci_worker_run(g, &plan));
	}
	g->worker_pidfd = (int)syscall(SYS_pidfd_open, g->worker, 0);
	return g->worker_pidfd < 0 ? err_sys(err, errno, "the session cannot be watched") : 0;
}

static int open_channel(struct oci_guest *g, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "no channel for container %s", g->id);
	g->channel_fd = pair[0];
	return pair[1];
}

int oci_guest_start(struct oci_guest *g, const struct oci_claim *claim, uid_t uid,
		    const char *policy, int listener_fd, struct err *err)
{
	cleanup_fd int listener = listener_fd;
	uint64_t key;
	new_guest(g);
	g->uid = uid;
	g->init = claim->init ? claim->init : claim->pid;
	g->init_ticks = process_start_ticks(g->init);
	snprintf(g->id, sizeof(g->id), "%s", claim->id);
	snprintf(g->bundle, sizeof(g->bundle), "%s", claim->bundle);
	snprintf(g->policy, sizeof(g->policy), "%s", policy);
	if (g->init <= 0 || !g->init_ticks)
		return err_set(err, ESRCH, "container %s: it is not known which process it is",
			       g->id);
	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return err_sys(err, errno, "no random number");
	snprintf(g->key, sizeof(g->key), "%016llx", (unsigned long long)key);
	g->slate_fd = slate_create();
	if (g->slate_fd < 0)
		return err_sys(err, -g->slate_fd, "no memory for container %s", g->id);
	int theirs = open_channel(g, err);
	if (theirs < 0)
		return theirs;
	/* kept before it is served: what a worker began must be there for the one after it */
	if (service_there()) {
		cleanup_fd int file = claim_file(g);
		if (file < 0) {
			close(theirs);
			return err_sys(err, -file, "container %s cannot be kept", g->id);
		}
		keep(g, "claim", file);
		keep(g, "slate", g->slate_fd);
	}
	int r = oci_guest_add(g, claim->pid, take_fd(&listener), err);
	if (r < 0) {
		close(theirs);
		return r;
	}
	return start_worker(g, theirs, err);
}

void oci_guest_forget(struct oci_guest *g)
{
	char name[SERVICE_NAME_SIZE];
	static const char *const parts[] = { "claim", "slate" };
	for (unsigned i = 0; i < 2 && service_there(); i++) {
		snprintf(name, sizeof(name), "%s%s-%s", kept_prefix, g->key, parts[i]);
		keep_not(name);
	}
	/* those that have hung up the manager has dropped by itself; an older one stays until the next agent */
	uint32_t first = g->next > RECENT ? g->next - RECENT : 0;
	for (uint32_t i = first; i < g->next && service_there(); i++) {
		snprintf(name, sizeof(name), "%s%s-%u", kept_prefix, g->key, i);
		keep_not(name);
	}
	oci_guest_finish(g);
}

/* The part after the key in a name that is kept for @g; NULL: for another. */
static const char *kept_part(const char *name, const char *key)
{
	size_t prefix = sizeof(kept_prefix) - 1, len = strlen(key);
	return !strncmp(name, kept_prefix, prefix) && !strncmp(name + prefix, key, len) &&
			       name[prefix + len] == '-'
		       ? name + prefix + len + 1
		       : NULL;
}

static int read_claim(struct oci_guest *g, int fd, struct err *err)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "what was kept of a container");
	struct json_object *o =
		jsonfile_read(fd, "what was kept of a container", OCI_CLAIM_MAX, err);
	if (!o)
		return -EBADMSG;
	g->uid = (uid_t)json_object_get_int64(json_object_object_get(o, "uid"));
	g->init = json_object_get_int(json_object_object_get(o, "init"));
	g->init_ticks = json_object_get_uint64(json_object_object_get(o, "ticks"));
	const struct {
		const char *name;
		char *to;
		size_t size;
	} texts[] = { { "id", g->id, sizeof(g->id) },
		      { "bundle", g->bundle, sizeof(g->bundle) },
		      { "policy", g->policy, sizeof(g->policy) } };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *text = json_object_get_string(json_object_object_get(o, texts[i].name));
		snprintf(texts[i].to, texts[i].size, "%s", text ? text : "");
	}
	json_object_put(o);
	return process_alive(g->init, g->init_ticks)
		       ? 0
		       : err_set(err, ESRCH, "container %s has ended meanwhile", g->id);
}

static int restore(struct oci_guest *g, struct service_fd *fds, unsigned count, struct err *err)
{
	unsigned listeners = 0;
	int theirs = open_channel(g, err);
	if (theirs < 0)
		return theirs;
	for (unsigned i = 0; i < count; i++) {
		const char *part = kept_part(fds[i].name, g->key);
		if (!part || fds[i].fd < 0)
			continue;
		if (!strcmp(part, "slate")) {
			g->slate_fd = take_fd(&fds[i].fd);
		} else if (*part >= '0' && *part <= '9') {
			uint32_t number = (uint32_t)strtoul(part, NULL, 10);
			const struct container_packet m = { .number = number, .adopted = 1 };
			listeners += send_listener(g, &m, fds[i].fd) == 0;
			g->next = number >= g->next ? number + 1 : g->next;
			scope_close(&fds[i].fd);
			fds[i].fd = -1;
		}
	}
	if (g->slate_fd < 0 || !listeners) {
		close(theirs);
		return err_set(err, ENOENT, "container %s: its listeners were not kept", g->id);
	}
	return start_worker(g, theirs, err);
}

unsigned oci_guest_restore(struct service_fd *fds, unsigned count, struct oci_guest *guests,
			   unsigned most)
{
	unsigned found = 0;
	struct err err;
	for (unsigned i = 0; i < count && found < most; i++) {
		struct oci_guest *g = &guests[found];
		char key[sizeof(g->key)];
		if (sscanf(fds[i].name, "vs-%16[0-9a-f]-claim", key) != 1 ||
		    !kept_part(fds[i].name, key) ||
		    strcmp(kept_part(fds[i].name, key), "claim") != 0)
			continue;
		new_guest(g);
		memcpy(g->key, key, sizeof(key));
		int r = read_claim(g, fds[i].fd, &err);
		if (r == 0)
			r = restore(g, fds, count, &err);
		if (r < 0)
			log_warn("%s", err.text);
		found += r == 0;
		if (r < 0)
			oci_guest_forget(g);
	}
	for (unsigned i = 0; i < count; i++) {
		bool kept = found && !strncmp(fds[i].name, kept_prefix, sizeof(kept_prefix) - 1);
		bool ours = false;
		for (unsigned k = 0; kept && k < found; k++)
			ours |= kept_part(fds[i].name, guests[k].key) != NULL;
		if (!ours && !strncmp(fds[i].name, kept_prefix, sizeof(kept_prefix) - 1))
			keep_not(fds[i].name);
		if (!strncmp(fds[i].name, kept_prefix, sizeof(kept_prefix) - 1)) {
			scope_close(&fds[i].fd);
			fds[i].fd = -1;
		}
	}
	return found;
}
