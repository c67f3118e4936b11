/* libvsandbox against a running server, as a program that uses it would. URL, KEY, AGENT_KEY and NAME in the environment;
 * a person, who answers for agents NAME-allow and NAME-deny, is somebody else. TAP on stdout. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vsandbox.h>

static unsigned number, failed;

static void ok(const char *what, bool holds)
{
	printf("%sok %u - c: %s\n", holds ? "" : "not ", ++number, what);
	failed += !holds;
}

static void same(const char *what, long got, long want)
{
	ok(what, got == want);
	if (got != want)
		printf("#   got %ld, want %ld\n", got, want);
}

static const char *env(const char *name)
{
	const char *text = getenv(name);
	return text ? text : "";
}

static struct vs_options options(void)
{
	struct vs_options o;
	vs_options_init(&o);
	o.endpoint = env("URL");
	o.api_key = env("KEY");
	return o;
}

/* An open client whose monitor runs for the agent NAME-tail. */
static struct vs_client *client(const struct vs_options *o, const char *tail)
{
	char agent[128];
	struct vs_client *c = NULL;
	struct vs_error err = { "" };
	snprintf(agent, sizeof(agent), "%s-%s", env("NAME"), tail);
	if (vs_open(o, &c, &err) < 0 || vs_monitor_begin(c, agent, &err) < 0) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return c;
}

static int verdict(struct vs_client *c, const char *type, const char *resource)
{
	struct vs_decision d;
	struct vs_error err;
	int r = vs_check(c, &(struct vs_action){ .type = type, .resource = resource }, &d, &err);
	return r < 0 ? r : (int)d.verdict;
}

static const char *const env_files[] = { "*.env", NULL };

static void refuses_nonsense(void)
{
	struct vs_client *c = NULL;
	struct vs_error err;
	struct vs_options o = options();
	o.risk_threshold = 2;
	same("a threshold of 2", vs_open(&o, &c, &err), -EINVAL);
	o = options();
	o.api_key = "vtk_\r\nx: y";
	same("a key with a line end", vs_open(&o, &c, &err), -EINVAL);
	o = options();
	o.endpoint = "http://example.org";
	same("a key in the clear to another machine", vs_open(&o, &c, &err), -EINVAL);
	o.endpoint = "http://127.0.0.1@example.org";
	same("… that looks like this one", vs_open(&o, &c, &err), -EINVAL);
	o.endpoint = "file:///etc/passwd";
	same("a file as the server", vs_open(&o, &c, &err), -EINVAL);
	o = options();
	o.size--;
	same("options of another size", vs_open(&o, &c, &err), -EINVAL);
	ok("nothing was opened", !c);
	o = options();
	same("the API as it should be", vs_open(&o, &c, &err), 0);
	struct vs_decision d;
	struct vs_action a = { .type = "file_read" };
	same("no monitor", vs_check(c, &a, &d, &err), -ENOTCONN);
	vs_close(c);
	c = NULL;
	o.api_key = env("AGENT_KEY");
	o.max_risk_score = 0.5;
	same("an agent's key opens", vs_open(&o, &c, &err), 0);
	same("… and sets no profile", vs_monitor_begin(c, "x", &err), -EACCES);
	vs_close(c);
}

static void judges_lists(void)
{
	static const char *const types[] = { "file_read", NULL };
	static const char *const below_tmp[] = { "/tmp/*", NULL };
	struct vs_options o = options();
	o.allowed_action_types = types;
	o.allowed_resources = below_tmp;
	o.blocked_resources = env_files;
	struct vs_client *c = client(&o, "lists");
	same("allowed", verdict(c, "file_read", "/tmp/a"), VS_VERDICT_ALLOW);
	same("another type", verdict(c, "file_write", "/tmp/a"), VS_VERDICT_BLOCK);
	same("another place", verdict(c, "file_read", "/etc/a"), VS_VERDICT_BLOCK);
	same("blocked", verdict(c, "file_read", "/tmp/.env"), VS_VERDICT_BLOCK);
	same("behind dots", verdict(c, "file_read", "/tmp/../etc/shadow"), VS_VERDICT_BLOCK);
	same("behind slashes", verdict(c, "file_read", "/tmp//..//./etc/shadow"), VS_VERDICT_BLOCK);
	struct vs_decision d;
	struct vs_error err;
	struct vs_action bad = { .type = "file_read", .resource = "/tmp/.env" };
	same("a blocked action is refused", vs_require(c, &bad, &d, &err), -EPERM);
	ok("… in the server's words",
	   strcmp(err.text, "Resource '/tmp/.env' is blocked for this agent") == 0);
	bad = (struct vs_action){ .type = "file_read", .payload = "[1" };
	same("a payload that is no JSON", vs_check(c, &bad, &d, &err), -EINVAL);
	vs_close(c);
}

static int note(const struct vs_action *action, void *arg)
{
	strcat(arg, action->resource);
	return 0;
}

static int fail(const struct vs_action *action, void *arg)
{
	(void)action;
	(void)arg;
	return -EIO;
}

static void answers_in_its_mode(void)
{
	char undone[256] = "";
	struct vs_decision d;
	struct vs_error err;
	struct vs_action plain = { "file_write", "/1", "{\"size\":1}", note, undone };
	struct vs_action bad = { "file_read", "/srv/.env", NULL, note, undone };
	struct vs_options o = options();
	o.blocked_resources = env_files;

	struct vs_client *c = client(&o, "alert");
	same("ALERT goes on", vs_log_action(c, &bad, &d, &err), 0);
	ok("… and says that it is a violation", d.violation);
	same("what is none", vs_log_action(c, &plain, &d, &err), 0);
	ok("… is none", !d.violation);
	vs_close(c);

	o.mode = VS_PAUSE;
	o.approval_timeout_ms = 120000;
	c = client(&o, "allow");
	same("PAUSE goes on when a person allows", vs_log_action(c, &bad, &d, &err), 0);
	vs_close(c);
	c = client(&o, "deny");
	same("PAUSE ends when a person denies", vs_log_action(c, &bad, &d, &err), -EPERM);
	same("… and the client is halted", verdict(c, "file_read", "/tmp/x"), VS_VERDICT_BLOCK);
	vs_resume(c);
	same("… until it is resumed", verdict(c, "file_read", "/tmp/x"), VS_VERDICT_ALLOW);
	vs_close(c);
	o.approval_timeout_ms = 500;
	c = client(&o, "nobody");
	same("PAUSE ends when nobody answers", vs_log_action(c, &bad, &d, &err), -ETIMEDOUT);
	vs_close(c);

	o.mode = VS_ROLLBACK;
	o.rollback_limit = 3;
	c = client(&o, "rollback");
	*undone = '\0';
	for (const char *const *p = (const char *const[]){ "/1", "/2", "/3", NULL }; *p; p++) {
		plain.resource = *p;
		ok("an action before the violation", vs_log_action(c, &plain, &d, &err) == 0);
	}
	same("ROLLBACK", vs_log_action(c, &bad, &d, &err), -ECANCELED);
	ok("… newest first, up to the limit", strcmp(undone, "/srv/.env/3/2") == 0);
	same("… halts", vs_require(c, &plain, &d, &err), -EPERM);
	vs_close(c);
}

static void reports_what_stays(void)
{
	char undone[64] = "";
	struct vs_options o = options();
	struct vs_client *c = client(&o, "stays");
	struct vs_decision d;
	struct vs_error err;
	struct vs_rollback_report report;
	struct vs_action a = { "file_write", "/old", NULL, note, undone };
	vs_log_action(c, &a, &d, &err);
	a = (struct vs_action){ "file_write", "/bad", NULL, fail, NULL };
	vs_log_action(c, &a, &d, &err);
	a = (struct vs_action){ "network_request", "example.org", NULL, NULL, NULL };
	vs_log_action(c, &a, &d, &err);
	a = (struct vs_action){ "file_write", "/new", NULL, note, undone };
	vs_log_action(c, &a, &d, &err);
	same("a callback that fails ends the rollback", vs_rollback(c, 9, &report, &err), -EIO);
	ok("… there", strcmp(undone, "/new") == 0);
	ok("… and it is counted",
	   report.reversed == 1 && report.irreversible == 1 && report.error == -EIO);
	vs_close(c);
}

static void keeps_its_limits(void)
{
	struct vs_options o = options();
	struct vs_decision d;
	struct vs_error err;
	struct vs_action a = { .type = "file_read", .resource = "/tmp/x" };
	o.mode = VS_PAUSE;
	o.max_actions_per_minute = 2;
	o.approval_timeout_ms = 0;
	struct vs_client *c = client(&o, "rate");
	same("the first of two", vs_log_action(c, &a, &d, &err), 0);
	same("the second", vs_log_action(c, &a, &d, &err), 0);
	same("the third", vs_log_action(c, &a, &d, &err), -ETIMEDOUT);
	ok("… says why", strcmp(d.reason, "More than 2 actions in a minute") == 0);
	vs_close(c);
	o.max_actions_per_minute = 0;
	o.risk_threshold = 0.01;
	c = client(&o, "threshold");
	same("a score at the threshold", verdict(c, "file_delete", "/data/x"), VS_VERDICT_PAUSE);
	vs_close(c);
	o.endpoint = "http://127.0.0.1:1";
	o.mode = VS_ALERT;
	o.timeout_ms = 1000;
	c = client(&o, "unreachable");
	same("no server is no permission", verdict(c, "file_read", "/tmp/x"), -EHOSTUNREACH);
	same("… and no log", vs_log_action(c, &a, &d, &err), -EHOSTUNREACH);
	vs_close(c);
}

enum { THREADS = 4, EACH = 25 };

static void *log_many(void *arg)
{
	for (unsigned i = 0; i < EACH; i++) {
		struct vs_decision d;
		struct vs_action a = { .type = "file_read", .resource = "/tmp/t" };
		if (vs_log_action(arg, &a, &d, NULL) < 0)
			return arg;
	}
	return NULL;
}

static void serves_threads(void)
{
	pthread_t threads[THREADS];
	struct vs_options o = options();
	o.max_actions_per_minute = 1000;
	setenv("VSANDBOX", "1", 1);
	setenv("VSANDBOX_SESSION", "box-c", 1);
	struct vs_client *c = client(&o, "threads");
	bool all = true;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, log_many, c);
	for (unsigned i = 0; i < THREADS; i++) {
		void *bad;
		pthread_join(threads[i], &bad);
		all = all && !bad;
	}
	ok("threads share a client", all);
	vs_close(c);
}

int main(void)
{
	refuses_nonsense();
	judges_lists();
	answers_in_its_mode();
	reports_what_stays();
	keeps_its_limits();
	serves_threads();
	printf("1..%u\n", number);
	return failed != 0;
}
