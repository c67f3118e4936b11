#include "launcher/netplan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/log.h"

enum { FILE_MAX = 1 << 20, DNS_PORT = 53 };

static const char program[] = "vsandbox-net";

int netplan_add_resolver(struct run *run, const char *text, struct err *err)
{
	char host[NET_ADDRESS_TEXT];
	const char *end = text + strlen(text), *port = NULL;
	struct net_address *a = &run->resolvers[run->resolver_count];
	unsigned long number = DNS_PORT;
	if (run->resolver_count == NETWORK_RESOLVERS_MAX)
		return err_set(err, E2BIG, "--resolver: at most %d name servers",
			       NETWORK_RESOLVERS_MAX);
	if (*text == '[') {
		text++;
		end = strchr(text, ']');
		port = end && end[1] == ':' ? end + 2 : NULL;
	} else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		end = strchr(text, ':');
		port = end + 1;
	}
	if (port) {
		char *behind;
		number = strtoul(port, &behind, 10);
		if (!*port || *behind || *port == '-' || number < 1 || number > UINT16_MAX)
			end = NULL;
	}
	if (end)
		snprintf(host, sizeof(host), "%.*s", (int)(end - text), text);
	if (!end || net_address_from_text(host, (uint16_t)number, a) < 0)
		return err_set(err, EINVAL, "--resolver: \"%.60s\" is no address", text);
	run->resolver_count++;
	return 0;
}

/* The whole of a small file; NULL when there is none. */
static char *read_text(const char *path)
{
	cleanup_file FILE *f = fopen(path, "re");
	char *text = f ? malloc(FILE_MAX) : NULL;
	if (!text)
		return NULL;
	size_t n = fread(text, 1, FILE_MAX - 1, f);
	text[n] = '\0';
	return text;
}

/* The host's resolv.conf: its servers are the broker's, its search list is the sandbox's. */
static int read_resolvers(struct netplan *n, const struct run *run)
{
	cleanup_free char *host = read_text("/etc/resolv.conf");
	size_t size = (host ? strlen(host) : 0) + 256;
	char *save, *out = malloc(size);
	if (!out)
		return -ENOMEM;
	snprintf(out, size,
		 "# vsandbox: names are answered as the policy allows\n"
		 "nameserver 127.0.0.1\n");
	n->resolv_conf = out;
	memcpy(n->plan.resolvers, run->resolvers, sizeof(run->resolvers));
	n->plan.resolver_count = run->resolver_count;
	for (char *line = host ? strtok_r(host, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char address[NET_ADDRESS_TEXT];
		if (strncmp(line, "search", 6) == 0 || strncmp(line, "domain", 6) == 0 ||
		    strncmp(line, "options", 7) == 0)
			snprintf(out + strlen(out), size - strlen(out), "%s\n", line);
		else if (sscanf(line, "nameserver %63s", address) == 1 && !run->resolver_count &&
			 n->plan.resolver_count < NETWORK_RESOLVERS_MAX &&
			 net_address_from_text(address, DNS_PORT,
					       &n->plan.resolvers[n->plan.resolver_count]) == 0)
			n->plan.resolver_count++;
	}
	if (!n->plan.resolver_count) /* resolv.conf(5): the local machine */
		net_address_from_text("127.0.0.1", DNS_PORT,
				      &n->plan.resolvers[n->plan.resolver_count++]);
	return 0;
}

/* Beside this program, as in a build tree, else where install puts it. A descriptor that no redirection can meet. */
static int open_broker(struct err *err)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - sizeof(program) - 1);
	path[len > 0 ? len : 0] = '\0';
	if (len > 0)
		strcpy(strrchr(path, '/') + 1, program);
	if (len <= 0 || access(path, X_OK) < 0)
		snprintf(path, sizeof(path), "%s/%s", VSANDBOX_LIBEXEC, program);
	cleanup_fd int found = access(path, X_OK) < 0 ? -1 : open(path, O_PATH | O_CLOEXEC);
	int fd = found < 0 ? -1 : fcntl(found, F_DUPFD_CLOEXEC, BROKER_CHANNEL_FD + 1);
	return fd < 0 ? err_sys(err, errno, "network: %s is needed for this policy's network", path)
		      : fd;
}

/* 0, -errno. */
static int start_broker(const struct netplan_broker *b)
{
	static char name[] = "vsandbox-net";
	char path[64];
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", b->program_fd);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	/* Nothing of the terminal or of the agent's pipes: its words go through the channel. */
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
	posix_spawn_file_actions_adddup2(&actions, 0, 2);
	posix_spawn_file_actions_adddup2(&actions, b->channel_fd, BROKER_CHANNEL_FD);
	/* all others but its program, which goes with the exec */
	for (int fd = BROKER_CHANNEL_FD + 1; fd < b->program_fd; fd++)
		posix_spawn_file_actions_addclose(&actions, fd);
	posix_spawn_file_actions_addclosefrom_np(&actions, b->program_fd + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int error = posix_spawn(&pid, path, &actions, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -error;
}

void netplan_wake(struct netplan_broker *b)
{
	static const char text[] = "cannot start vsandbox-net";
	int r = b->channel_fd < 0 ? 0 : start_broker(b);
	if (r < 0) {
		struct broker_message m = { .type = BROKER_UNABLE, .error = -r };
		/* else the end of the channel says that there is none */
		(void)broker_send(b->channel_fd, &m, text, strlen(text), NULL, 0);
	}
	netplan_broker_finish(b);
}

void netplan_broker_finish(struct netplan_broker *b)
{
	scope_close(&b->channel_fd);
	scope_close(&b->program_fd);
	b->channel_fd = b->program_fd = -1;
}

/* A socket that gives away more than itself. */
static void warn_of_sockets(const struct policy *p)
{
	static const char *const powerful[] = { "docker.sock",      "containerd.sock",
						"podman.sock",      "crio.sock",
						"libvirt-sock",     "bus",
						"system_bus_socket" };
	for (unsigned i = 0; i < p->allow_unix.count; i++) {
		const char *path = p->allow_unix.items[i].pattern.text;
		const char *slash = strrchr(path, '/');
		for (size_t k = 0; k < sizeof(powerful) / sizeof(powerful[0]); k++)
			if (slash && strcmp(slash + 1, powerful[k]) == 0)
				log_warn("WARNING: %s is granted: whoever speaks to it can run "
					 "programs on this host, outside of the sandbox",
					 path);
	}
}

int netplan_start(const struct run *run, struct netplan *ret, struct netplan_broker *ret_broker,
		  struct err *err)
{
	const struct policy *p = run->policy;
	int pair[2], r = 0;
	*ret = (struct netplan){ .plan.channel_fd = -1 };
	*ret_broker = (struct netplan_broker){ -1, -1 };
	warn_of_sockets(p);
	if (run->net == NET_HOST ||
	    (run->net == NET_NONE && !p->host_port_count && !p->publish_count))
		return 0;
	if (run->net == NET_ALLOWLIST) {
		r = read_resolvers(ret, run);
		if (r < 0)
			return err_sys(err, -r, "network");
		ret->plan.hosts = read_text("/etc/hosts");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "network: cannot make the broker's socket");
	ret->plan.channel_fd = pair[0];
	ret_broker->channel_fd = pair[1];
	r = ret_broker->program_fd = open_broker(err);
	if (r < 0) {
		netplan_broker_finish(ret_broker);
		netplan_finish(ret);
		return r;
	}
	if (network_at_once(p))
		netplan_wake(ret_broker);
	return 0;
}

void netplan_finish(struct netplan *n)
{
	scope_close(&n->plan.channel_fd);
	n->plan.channel_fd = -1;
	free(n->resolv_conf);
	free(n->plan.hosts);
	n->resolv_conf = n->plan.hosts = NULL;
}
