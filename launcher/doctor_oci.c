#include "launcher/doctor_oci.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/term.h"
#include "sandbox/probe.h"

enum { OUTPUT_SIZE = 65536 };

/* What a program prints, as far as there is room. False: it cannot be started, or failed. */
static bool output_of(char *const argv[], char text[static OUTPUT_SIZE])
{
	int pair[2], status;
	pid_t pid;
	size_t have = 0;
	char *const env[] = { (char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:"
					"/usr/local/bin" },
			      NULL };
	if (pipe2(pair, O_CLOEXEC) < 0)
		return false;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	close(pair[1]);
	cleanup_fd int from = pair[0];
	for (ssize_t n; r == 0 && have < OUTPUT_SIZE - 1; have += (size_t)n)
		if ((n = read(from, text + have, OUTPUT_SIZE - 1 - have)) <= 0)
			break;
	text[have] = '\0';
	return r == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* "runc version 1.1.5+ds1 …" -> its first line. */
static bool version_of(const char *program, char text[static OUTPUT_SIZE])
{
	char name[32], option[] = "--version";
	char *const argv[] = { name, option, NULL };
	snprintf(name, sizeof(name), "%s", program);
	return output_of(argv, text);
}

static void check_runc(const char *socket, struct probe_result *ret)
{
	(void)socket;
	static char version[OUTPUT_SIZE], features[OUTPUT_SIZE];
	char program[] = "runc", word[] = "features";
	char *const argv[] = { program, word, NULL };
	if (!version_of(program, version)) {
		probe_found(ret, PROBE_WARN, "apt-get install runc", "runc is not there");
		return;
	}
	int line = (int)strcspn(version, "\n");
	if (!output_of(argv, features))
		probe_found(ret, PROBE_WARN, "runc 1.1 or later",
			    "%.*s: it does not say whether it heeds rules that notify", line,
			    version);
	else if (!strstr(features, "SCMP_ACT_NOTIFY"))
		probe_found(ret, PROBE_FAIL, "a runc that is built with libseccomp 2.5 or later",
			    "%.*s: it does not know rules that notify", line, version);
	else
		probe_found(
			ret, PROBE_OK, "",
			"%.*s: a signal ends the wait for an answer, and the call is made again",
			line, version);
}

static bool hybrid_cgroups(void)
{
	cleanup_fd int fd = open("/sys/fs/cgroup/unified/cgroup.controllers", O_RDONLY | O_CLOEXEC);
	char text[8];
	return fd >= 0 && read(fd, text, sizeof(text)) > 1;
}

static void check_crun(const char *socket, struct probe_result *ret)
{
	(void)socket;
	static char version[OUTPUT_SIZE];
	if (!version_of("crun", version)) {
		probe_found(ret, PROBE_WARN, "apt-get install crun", "crun is not there");
		return;
	}
	int line = (int)strcspn(version, "\n");
	if (!strstr(version, "+SECCOMP"))
		probe_found(ret, PROBE_FAIL, "a crun that is built with libseccomp",
			    "%.*s: it knows no seccomp", line, version);
	else if (hybrid_cgroups())
		probe_found(
			ret, PROBE_WARN,
			"boot with systemd.unified_cgroup_hierarchy=1, or hide "
			"/sys/fs/cgroup/unified/cgroup.controllers from it in a mount namespace",
			"%.*s: crun 1.8 does not start where cgroups of version 2 have "
			"controllers beside those of version 1, as here",
			line, version);
	else
		probe_found(ret, PROBE_OK, "", "%.*s", line, version);
}

static void check_runsc(const char *socket, struct probe_result *ret)
{
	(void)socket;
	static char version[OUTPUT_SIZE];
	if (version_of("runsc", version))
		probe_found(ret, PROBE_WARN, "name runc or crun as the runtime of such containers",
			    "%.*s ignores rules that notify: it is refused",
			    (int)strcspn(version, "\n"), version);
	else
		probe_found(ret, PROBE_OK, "", "no runtime here is known to ignore the agent");
}

static void check_agent(const char *socket_path, struct probe_result *ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	if (strlen(socket_path) >= sizeof(at.sun_path)) {
		probe_found(ret, PROBE_FAIL, "a shorter --socket", "the socket's name is too long");
		return;
	}
	strcpy(at.sun_path, socket_path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		probe_found(ret, PROBE_FAIL,
			    "systemctl enable --now vsandbox-oci.socket, or: vsandbox oci agent "
			    "--listen PATH",
			    "%.100s: %s; patched containers do not start", socket_path,
			    strerrordesc_np(errno));
	else
		probe_found(ret, PROBE_OK, "", "listens on %.100s", socket_path);
}

static const struct {
	const char *name, *purpose;
	void (*run)(const char *socket, struct probe_result *ret);
} checks[] = {
	{ "runc", "containers of runc", check_runc },
	{ "crun", "containers of crun", check_crun },
	{ "others", "containers of other runtimes", check_runsc },
	{ "agent", "every container that is patched", check_agent },
};

int doctor_oci(const char *socket, bool json)
{
	unsigned failed = 0;
	if (json)
		fputs("{\"schema_version\":1,\"checks\":[", stdout);
	for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct probe_result result = { .level = PROBE_FAIL };
		checks[i].run(socket, &result);
		failed += result.level == PROBE_FAIL;
		if (json) {
			fputs(i ? ",{" : "{", stdout);
			json_member(stdout, true, "check", checks[i].name);
			json_member(stdout, false, "level", probe_level_name(result.level));
			json_member(stdout, false, "needed_for", checks[i].purpose);
			json_member(stdout, false, "text", result.text);
			json_member(stdout, false, "fix", result.fix[0] ? result.fix : NULL);
			putchar('}');
			continue;
		}
		printf("%-4s  %-8s ", probe_level_name(result.level), checks[i].name);
		term_text(stdout, result.text);
		putchar('\n');
		if (result.fix[0]) {
			fputs("      fix:     ", stdout);
			term_text(stdout, result.fix);
			putchar('\n');
		}
	}
	if (json)
		printf("],\"ok\":%s}\n", failed ? "false" : "true");
	int r = out_finish();
	return r ? r : failed ? EXIT_DOCTOR : 0;
}
