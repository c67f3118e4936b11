/* Up to the point where the box is being built: descriptors, the monitor, the first event, who is reported to. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/priority.h"
#include "launcher/gateway.h"
#include "launcher/log.h"
#include "launcher/ours.h"
#include "launcher/server.h"
#include "launcher/succession.h"
#include "launcher/uplink.h"
#include "sandbox/monitor.h"

void gateway_open_server(struct gateway *g, int state_fd)
{
	struct err err;
	g->server_fd = server_open(state_fd, &err);
	if (g->server_fd >= 0 && g->run->no_report)
		gateway_drop_fd(&g->server_fd);
	else if (g->server_fd < 0 && g->server_fd != -ENOENT)
		log_warn("%s; this session is not reported, continuing", err.text);
}

/* Everything that must be there before the fork; the ring before the monitor that writes to it. */
static int prepare(struct gateway *g, sigset_t *ret_mask, struct err *err)
{
	static const int forwarded[] = { SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
					 SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&set, forwarded[i]);
	sigaddset(&set, SIGTTOU); /* a line of ours must not stop us in the background */
	sigprocmask(SIG_BLOCK, &set, ret_mask);
	sigdelset(&set, SIGTTOU);
	g->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	g->ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->signal_fd < 0 || g->ring_fd < 0)
		return err_sys(err, errno, "cannot make a descriptor of our own");
	/* A session that goes on has its segment, read to its end; the numbers of events go on in it. */
	return g->run->again ? 0 : eventlog_create(g->session.dirfd, err);
}

/*
 * The child: nothing of the gateway's but the monitor's end of the pair and the ring's
 * eventfd. The mask the gateway was started with comes back: the box hands it to the agent,
 * and the monitor leaves the terminal's process group once the agent is there.
 */
static int monitor_child(struct gateway *g, const sigset_t *mask, const struct monitor_plan *plan)
{
	gateway_drop_fd(&g->lock_fd); /* it would keep the session alive after us */
	gateway_drop_fd(&g->signal_fd);
	gateway_drop_fd(&g->monitor_fd);
	gateway_drop_fd(&g->control.fd);
	gateway_drop_fd(&g->control.dir_fd);
	gateway_drop_fd(&g->server_fd); /* the key is there to be read */
	netplan_broker_finish(&g->broker);
	sigprocmask(SIG_SETMASK, mask, NULL);
	/* No PDEATHSIG: when the pair closes the monitor ends the tree in order, cgroups included. */
	return monitor_main(plan);
}

static int fork_monitor(struct gateway *g, const sigset_t *mask, struct monitor_plan *plan,
			struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "cannot make the monitor's socket");
	g->monitor_fd = pair[0];
	plan->gateway_fd = pair[1];
	g->monitor_pid = fork();
	if (g->monitor_pid < 0) {
		close(pair[1]);
		if (plan->attach && plan->attach->container) {
			/* the monitor's alone: its end must be theirs */
			close(plan->attach->container->channel_fd);
			close(plan->attach->container->slate_fd);
		}
		return err_sys(err, errno, "cannot start the monitor");
	}
	if (g->monitor_pid == 0)
		_exit(monitor_child(g, mask, plan));
	close(pair[1]);
	if (plan->attach && plan->attach->container) {
		/* the monitor's alone: its end must be theirs */
		close(plan->attach->container->channel_fd);
		close(plan->attach->container->slate_fd);
	}
	/* No glibc wrapper in every release we build on; the child cannot be reaped before us. */
	g->pidfd = (int)syscall(SYS_pidfd_open, g->monitor_pid, 0);
	return g->pidfd < 0 ? err_sys(err, errno, "cannot watch the monitor (pidfd_open)") : 0;
}

/* All the gateway does for it: what is reported is read from the session's own files. */
static void start_uplink(struct gateway *g)
{
	struct err err;
	if (g->server_fd >= 0 && uplink_start(&g->session, g->server_fd, &err) < 0)
		log_warn("%s; this session is not reported, continuing", err.text);
	gateway_drop_fd(&g->server_fd);
}

/* First in the log: what was started, as far as an event has room for it. */
static void append_start(struct gateway *g)
{
	char argv[ACTION_ARGV_SIZE];
	struct event e = { .kind = EVENT_SESSION_START,
			   .text = g->start.policy,
			   .action = { .resource = "",
				       .program = "",
				       .argv = argv,
				       .cwd = g->run->cwd,
				       .size_bytes = -1 } };
	for (char *const *arg = g->run->argv; *arg; arg++) {
		size_t n = strlen(*arg) + 1;
		if (e.action.argv_len + n > sizeof(argv)) {
			e.action.argv_truncated = true;
			break;
		}
		memcpy(argv + e.action.argv_len, *arg, n);
		e.action.argv_len += n;
		e.action.argc++;
	}
	event_stamp(&e);
	int r = eventlog_append(g->log, &e);
	if (r < 0)
		log_warn("the log takes no event: %s, continuing", strerrordesc_np(-r));
}

int gateway_start(struct gateway *g, char *const *envp, sigset_t *mask, struct err *err)
{
	const struct run *run = g->run;
	int r = prepare(g, mask, err);
	if (r < 0)
		return r;
	if (run->after && succession_take(&g->session, run->after, err) == 0)
		g->start.continues = run->after;
	else if (run->after)
		log_warn("%s; what changed before cannot be rolled back, continuing", err->text);
	r = ours_fence(&g->fence, err);
	if (r == 0)
		r = ours_keep_programs(&g->fence, run->policy, run->cwd, err);
	if (r < 0)
		return r;
	struct box_plan box = {
		.policy = run->policy,
		.fence = &g->fence,
		.session_id = g->session.id,
		.session_path = g->session.path,
		.session_dirfd = g->session.dirfd,
		.argv = run->argv,
		.envp = envp,
		.cwd = run->start_dir[0] ? run->start_dir : run->cwd,
		.workspace = run->cwd,
		.rootfs = run->image.root[0] ? run->image.root : NULL,
		.degraded_ok = run->degraded_ok,
		.net = run->net,
		.allow_ptrace = run->allow_ptrace,
		.read_events = run->read_events,
	};
	struct netplan net;
	r = netplan_start(run, &net, &g->broker, err);
	if (r < 0)
		return r;
	box.resolv_conf = net.resolv_conf;
	struct monitor_plan plan = {
		.box = &box,
		.network = net.plan.channel_fd >= 0 ? &net.plan : NULL,
		.history = run->history,
		.agent = run->agent,
		.agents_dirfd = run->agents_dirfd,
		.ring_wake_fd = g->ring_fd,
		.attach = run->attach,
	};
	g->host = (struct control_host){ .gateway = g,
					 .ask = gateway_host_ask,
					 .end = gateway_host_end,
					 .approvals = &g->approvals };
	approvals_init(&g->approvals, &g->host, g->session.id, run->policy, run->approve);
	plan.approval_ms = run->approval_ms;
	plan.tty_fd = g->approvals.tty_fd; /* the monitor has its copy by the fork */
	r = control_open(&g->control, &g->session, &g->host, err);
	if (r < 0)
		return r;
	g->start.control = g->control.path;
	r = fork_monitor(g, mask, &plan, err);
	netplan_finish(&net);
	if (r < 0)
		return r;
	priority_urgent(); /* after the fork: the agent is not to have it */
	/* While the monitor builds the box; after the fork, so that only we hold the log's lock. */
	signal(SIGPIPE, SIG_IGN);
	g->start.monitor_pid = g->monitor_pid;
	r = session_write_start(&g->session, &g->start, err);
	if (r < 0)
		return r;
	r = eventlog_reader_open(g->session.dirfd, g->session.id, &g->log, err);
	if (r < 0)
		return r;
	append_start(g);
	gateway_drain(g);
	start_uplink(g);
	return 0;
}
