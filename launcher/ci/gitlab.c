/*
 * The custom executor of GitLab Runner: config, prepare, run SCRIPT STAGE, cleanup.
 *
 * Theory of operation. What the job's author wrote (step_*, build_script, after_script) runs in the job's one sandbox. What
 * the runner generates around it needs its tokens and network and writes for real: each such stage is a run of its own
 * under the policy ci-helper, with the builds and cache directories direct. The sandbox is started by the first stage
 * of the author's, when the checkout is complete, and settled after the last one: artifacts and caches
 * become real, the report is written, all else is dropped.
 *
 * Only what the runner itself says is believed: its file JOB_RESPONSE_FILE, the options of `config`. CUSTOM_ENV_
 * variables are the job's; the one that is used, the project's directory, must lie in the builds directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/scope.h"
#include "launcher/ci/ci.h"
#include "launcher/ci/harvest.h"
#include "launcher/ci/job.h"
#include "launcher/ci/report.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum {
	SCRIPT_MAX = 4 << 20,
	WORDS_MAX = 2 * OPTIONS_GIVEN_MAX + 32,
	GRACE_SECONDS = 600, /* after the job's own time limit: for what the runner still does */
	DAY_SECONDS = 86400,
};

enum stage_kind {
	STAGE_UNKNOWN,
	STAGE_JOB,    /* the author's: in the job's sandbox */
	STAGE_BEFORE, /* the runner's, before them */
	STAGE_AFTER,  /* the runner's, after them */
};

static const struct {
	const char *name;
	enum stage_kind kind;
} stages[] = {
	{ "prepare_script", STAGE_BEFORE },
	{ "clear_worktree", STAGE_BEFORE },
	{ "get_sources", STAGE_BEFORE },
	{ "restore_cache", STAGE_BEFORE },
	{ "download_artifacts", STAGE_BEFORE },
	{ "build_script", STAGE_JOB },
	{ "after_script", STAGE_JOB },
	{ "archive_cache", STAGE_AFTER },
	{ "archive_cache_on_failure", STAGE_AFTER },
	{ "upload_artifacts_on_success", STAGE_AFTER },
	{ "upload_artifacts_on_failure", STAGE_AFTER },
	{ "cleanup_file_variables", STAGE_AFTER },
};

static enum stage_kind stage_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (strcmp(stages[i].name, name) == 0)
			return stages[i].kind;
	return strncmp(name, "step_", 5) == 0 ? STAGE_JOB : STAGE_UNKNOWN;
}

/* The runner chooses its codes anew for each job. */
static int code_from(const char *variable)
{
	const char *text = getenv(variable);
	char *end = NULL;
	long n = text ? strtol(text, &end, 10) : 0;
	return text && *text && !*end && n > 0 && n < 256 ? (int)n : EXIT_USAGE;
}

static int system_failure(const struct err *err)
{
	log_error("%s", err->text);
	return code_from("SYSTEM_FAILURE_EXIT_CODE");
}

static int build_failure(int code)
{
	const char *path = getenv("BUILD_EXIT_CODE_FILE");
	cleanup_fd int fd =
		path && *path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	if (fd >= 0 && dprintf(fd, "%d", code) < 0)
		log_warn("%s: %s, continuing", path, strerrordesc_np(errno));
	return code_from("BUILD_FAILURE_EXIT_CODE");
}

/* What the runner says of the job; owned by the caller. */
static int read_response(struct json_object **ret, struct err *err)
{
	const char *path = getenv("JOB_RESPONSE_FILE");
	if (!path || !*path)
		return err_set(
			err, EINVAL,
			"JOB_RESPONSE_FILE is not set: a GitLab Runner of 14.5 or later is needed");
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret = fd < 0 ? NULL : json_object_from_fd(fd);
	if (!json_object_is_type(*ret, json_type_object)) {
		json_object_put(*ret);
		return err_set(err, EBADMSG, "%s holds no job", path);
	}
	return 0;
}

static int open_job(struct ci_job *ret, struct err *err)
{
	const char *name = getenv("VSANDBOX_CI_JOB");
	*ret = (struct ci_job){ .dirfd = -1 };
	return name ? ci_job_open(name, ret, err)
		    : err_set(err, EINVAL,
			      "VSANDBOX_CI_JOB is not set: config_exec must be vsandbox ci gitlab "
			      "config");
}

/* An option's directory by its real name, into the record. */
static int record_dir(struct ci_job *j, const struct options *o, enum ci_option id,
		      const char *name, struct err *err)
{
	char real[PATH_MAX];
	const char *given = options_value(o, id);
	if (!given)
		return err_set(err, EINVAL, "ci gitlab config: --%s is needed", o->specs[id].name);
	if (mkdir(given, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", given);
	if (!realpath(given, real))
		return err_sys(err, errno, "%s", given);
	ci_job_set(j, name, json_object_new_string(real));
	return 0;
}

static int record_options(struct ci_job *j, const struct options *o, struct err *err)
{
	static char names[OPTIONS_GIVEN_MAX][OPTION_WORD_SIZE];
	char *words[WORDS_MAX];
	int n = ci_run_words(o, names, words, WORDS_MAX);
	if (n < 0)
		return err_set(err, E2BIG, "ci gitlab config: too many options");
	struct json_object *list = json_object_new_array();
	for (int i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(words[i]));
	ci_job_set(j, "options", list);
	if (options_value(o, CI_REPORT_DIR))
		ci_job_set(j, "report_dir",
			   json_object_new_string(options_value(o, CI_REPORT_DIR)));
	return 0;
}

static int gitlab_config(const struct options *o)
{
	struct ci_job job;
	struct err err;
	int r = ci_job_create("gitlab", &job, &err);
	if (r == 0)
		r = record_dir(&job, o, CI_BUILDS_DIR, "builds_dir", &err);
	if (r == 0)
		r = record_dir(&job, o, CI_CACHE_DIR, "cache_dir", &err);
	if (r == 0)
		r = record_options(&job, o, &err);
	if (r == 0)
		r = ci_job_save(&job, &err);
	if (r < 0) {
		ci_job_close(&job);
		return system_failure(&err);
	}
	fputs("{", stdout);
	json_member(stdout, true, "builds_dir", ci_job_text(&job, "builds_dir"));
	json_member(stdout, false, "cache_dir", ci_job_text(&job, "cache_dir"));
	fputs(",\"builds_dir_is_shared\":true,\"driver\":{\"name\":\"vsandbox\",\"version\":"
	      "\"" VSANDBOX_VERSION "\"},\"job_env\":{",
	      stdout);
	json_member(stdout, true, "VSANDBOX_CI_JOB", job.name);
	fputs("}}\n", stdout);
	ci_job_close(&job);
	return out_finish();
}

/* Runs @argv under @words, with our descriptors. -ECHILD: nothing ran; else 0 and the exit code. */
static int run_aside(char **words, size_t n, char *const *argv, int *ret_code, struct err *err)
{
	static struct options options;
	static char end[] = "--";
	char id[SESSION_ID_SIZE];
	struct session s;
	words[n++] = end;
	words[n] = NULL;
	int r = options_parse(run_options, words, &options, err);
	if (r != 0)
		return r;
	*ret_code = run_command(&options, argv, id);
	if (!*id || session_find(id, &s, err) < 0)
		return err_set(err, ECHILD, "the sandbox could not be started");
	struct json_object *why = json_object_object_get(s.end, "reason");
	bool none = !why || strcmp(json_object_get_string(why), "set-up") == 0 ||
		    strcmp(json_object_get_string(why), "monitor died") == 0;
	session_close(&s);
	return none ? err_set(err, ECHILD, "the sandbox could not be started or was lost") : 0;
}

/* The options that config was given, as words. */
static size_t recorded_words(const struct ci_job *j, char **words, size_t room)
{
	struct json_object *list = ci_job_get(j, "options");
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < n && i < room; i++)
		words[i] = (char *)(uintptr_t)json_object_get_string(
			json_object_array_get_idx(list, i));
	return n < room ? n : room;
}

/* That the policy loads and the sandbox starts is found out here, where the runner tries again elsewhere. */
static int gitlab_prepare(const struct options *o)
{
	static char true_path[] = "/bin/true";
	static char quiet[] = "--quiet";
	char *words[WORDS_MAX], *argv[] = { true_path, NULL };
	struct json_object *response = NULL, *services;
	struct ci_job job;
	struct err err = { "" };
	int code = 0;
	(void)o;
	int r = open_job(&job, &err);
	if (r == 0)
		r = read_response(&response, &err);
	if (r == 0 && json_object_object_get_ex(response, "services", &services) &&
	    json_object_is_type(services, json_type_array) && json_object_array_length(services)) {
		log_error("the job asks for services; this executor starts none");
		code = build_failure(1);
	} else if (r == 0 && chdir(ci_job_text(&job, "builds_dir")) < 0) {
		r = err_sys(&err, errno, "%s", ci_job_text(&job, "builds_dir"));
	} else if (r == 0) {
		size_t n = recorded_words(&job, words, WORDS_MAX - 4);
		words[n++] = quiet;
		r = run_aside(words, n, argv, &code, &err);
		if (r == 0 && code != 0)
			r = err_set(&err, ECHILD, "a first command in the sandbox ended with %d",
				    code);
	}
	json_object_put(response);
	ci_job_close(&job);
	return r < 0 ? system_failure(&err) : code;
}

/* The job's directory: what it calls so, if that is below the builds directory. */
static int project_dir(const struct ci_job *j, char ret[static PATH_MAX], struct err *err)
{
	const char *given = getenv("CUSTOM_ENV_CI_PROJECT_DIR");
	if (!given || !realpath(given, ret))
		return err_sys(err, given ? errno : EINVAL, "CI_PROJECT_DIR");
	if (!path_is_within(ret, ci_job_text(j, "builds_dir")))
		return err_set(err, EPERM, "CI_PROJECT_DIR %s is not in %s", ret,
			       ci_job_text(j, "builds_dir"));
	return 0;
}

/* Adds the strings of @from to @to, as patterns below the project. */
static void add_patterns(struct json_object *to, struct json_object *from, const char *project)
{
	size_t n = json_object_is_type(from, json_type_array) ? json_object_array_length(from) : 0;
	size_t len = strlen(project);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(from, i));
		if (!text)
			continue;
		if (strncmp(text, project, len) == 0 && text[len] == '/')
			text += len + 1;
		while (strncmp(text, "./", 2) == 0)
			text += 2;
		if (*text && *text != '/')
			json_object_array_add(to, json_object_new_string(text));
	}
}

/* What artifacts and caches of the job name; true when there is anything. */
static bool wanted_paths(struct json_object *response, const char *project,
			 struct json_object *paths, struct json_object *excludes)
{
	static const char *const lists[] = { "artifacts", "cache" };
	for (size_t l = 0; l < 2; l++) {
		struct json_object *list = json_object_object_get(response, lists[l]);
		size_t n = json_object_is_type(list, json_type_array)
				   ? json_object_array_length(list)
				   : 0;
		for (size_t i = 0; i < n; i++) {
			struct json_object *one = json_object_array_get_idx(list, i);
			if (json_object_get_boolean(json_object_object_get(one, "untracked")))
				json_object_array_add(paths, json_object_new_string("**"));
			add_patterns(paths, json_object_object_get(one, "paths"), project);
			add_patterns(excludes, json_object_object_get(one, "exclude"), project);
		}
	}
	return json_object_array_length(paths) > 0;
}

/* Whether @stage is the last of the author's: then the job's sandbox has done its work. */
static bool is_last(struct json_object *response, const char *stage)
{
	struct json_object *steps = json_object_object_get(response, "steps");
	size_t n =
		json_object_is_type(steps, json_type_array) ? json_object_array_length(steps) : 0;
	struct json_object *last = n ? json_object_array_get_idx(steps, n - 1) : NULL;
	const char *name =
		last ? json_object_get_string(json_object_object_get(last, "name")) : NULL;
	if (!name)
		return false;
	if (strcmp(name, "script") == 0)
		return strcmp(stage, "build_script") == 0 || strcmp(stage, "step_script") == 0;
	return strcmp(stage, name) == 0 ||
	       (strncmp(stage, "step_", 5) == 0 && strcmp(stage + 5, name) == 0);
}

static int harvest(const struct session *s, struct json_object *response, const char *project,
		   struct err *err)
{
	struct ci_harvest h = { .root = project,
				.paths = json_object_new_array(),
				.excludes = json_object_new_array() };
	int r = 0;
	if (wanted_paths(response, project, h.paths, h.excludes)) {
		r = ci_harvest(s, &h, err);
		cleanup_fd int dir =
			r < 0 ? -1 : open(project, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (r >= 0)
			log_info("%d changes of artifacts and caches kept", r);
		if (r >= 0)
			r = dir < 0 ? err_sys(err, errno, "%s", project)
				    : ci_report_write(s->id, dir, "vsandbox", err);
	}
	json_object_put(h.paths);
	json_object_put(h.excludes);
	return r < 0 ? r : 0;
}

static bool is_settled(const struct ci_job *j)
{
	return json_object_get_boolean(ci_job_get(j, "settled"));
}

/*
 * Ends the job's sandbox, makes real what is to stay, tells, drops the rest. Once; @response NULL: nothing
 * is to stay. A failure to keep is one of ours: the artifacts would be missing.
 */
static int settle(struct ci_job *j, struct json_object *response, struct err *err)
{
	struct session s;
	char project[PATH_MAX];
	if (!ci_job_started(j) || is_settled(j))
		return 0;
	int r = ci_job_end(j, &s, err);
	if (r < 0)
		return r;
	if (response)
		r = project_dir(j, project, err);
	if (r == 0 && response)
		r = harvest(&s, response, project, err);
	ci_report_tell(s.id, stderr);
	const char *dir = ci_job_text(j, "report_dir");
	if (r == 0 && *dir)
		r = ci_report_write_to(s.id, dir, err);
	struct err dropping;
	if (ci_drop(&s, &dropping) < 0)
		log_warn("%s, continuing", dropping.text);
	session_close(&s);
	ci_job_set(j, "settled", json_object_new_boolean(true));
	return r < 0 ? r : ci_job_save(j, err);
}

static int job_seconds(struct json_object *response)
{
	struct json_object *info = json_object_object_get(response, "runner_info");
	int seconds = json_object_get_int(json_object_object_get(info, "timeout"));
	return (seconds > 0 ? seconds : DAY_SECONDS) + GRACE_SECONDS;
}

static int start_sandbox(struct ci_job *j, struct json_object *response, const char *project,
			 struct err *err)
{
	static char flags[][16] = { "--timeout",     "--on-exit", "keep",
				    "--no-snapshot", "--name",    "gitlab" };
	char *words[WORDS_MAX], seconds[16];
	snprintf(seconds, sizeof(seconds), "%d", job_seconds(response));
	/* what the job's own options say comes later, and counts */
	size_t n = 0;
	words[n++] = flags[0];
	words[n++] = seconds;
	for (size_t i = 1; i < sizeof(flags) / sizeof(flags[0]); i++)
		words[n++] = flags[i];
	n += recorded_words(j, words + n, WORDS_MAX - n - 1);
	words[n] = NULL;
	const struct ci_start start = { .workspace = project, .options = words };
	return ci_job_start(j, &start, err);
}

static int read_script(const char *path, char **ret, size_t *len, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (st.st_size > SCRIPT_MAX)
		return err_set(err, EFBIG, "%s is larger than %d bytes", path, SCRIPT_MAX);
	char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(fd, text, (size_t)st.st_size);
	if (n != st.st_size) {
		free(text);
		return err_sys(err, n < 0 ? (int)-n : EIO, "%s", path);
	}
	*ret = text;
	*len = (size_t)n;
	return 0;
}

/* The author's script, in the job's sandbox. 0 with its wait status. */
static int carry_script(struct ci_job *j, struct json_object *response, const char *path,
			int *ret_status, struct err *err)
{
	static char bash[] = "bash", script[] = "script";
	char project[PATH_MAX];
	char *argv[] = { bash, script, NULL }, *none[] = { NULL }, **envp = NULL;
	cleanup_free char *text = NULL;
	size_t len = 0;
	if (is_settled(j))
		return err_set(err, EINVAL, "the job's sandbox is gone: its last script has run");
	int r = project_dir(j, project, err);
	if (r == 0)
		r = read_script(path, &text, &len, err);
	if (r == 0 && !ci_job_started(j))
		r = start_sandbox(j, response, project, err);
	if (r == 0)
		r = run_environment(environ, true, none, ci_job_text(j, "session"), &envp, err);
	if (r == 0) {
		struct errand e = { .cwd = project,
				    .argv = argv,
				    .envp = envp,
				    .script = text,
				    .script_len = len };
		r = ci_job_carry(j, &e, ret_status, err);
	}
	run_environment_free(envp);
	return r;
}

/* One of the runner's own, beside the job's sandbox. */
static int run_helper(struct ci_job *j, const char *path, int *ret_code, struct err *err)
{
	static char flags[][16] = { "--policy", "ci-helper", "--no-project", "--quiet",
				    "--direct" };
	static char bash[] = "/bin/bash";
	char *words[16], *argv[] = { bash, (char *)(uintptr_t)path, NULL };
	size_t n = 0;
	for (size_t i = 0; i < 5; i++)
		words[n++] = flags[i];
	words[n++] = (char *)(uintptr_t)ci_job_text(j, "builds_dir");
	words[n++] = flags[4];
	words[n++] = (char *)(uintptr_t)ci_job_text(j, "cache_dir");
	if (chdir(ci_job_text(j, "builds_dir")) < 0)
		return err_sys(err, errno, "%s", ci_job_text(j, "builds_dir"));
	return run_aside(words, n, argv, ret_code, err);
}

static int run_stage(struct ci_job *j, const char *script, const char *stage, struct err *err,
		     int *ret_code)
{
	struct json_object *response = NULL;
	int status = 0;
	int r = read_response(&response, err);
	if (r < 0)
		return r;
	switch (stage_kind(stage)) {
	case STAGE_UNKNOWN:
		r = err_set(err, EINVAL, "the stage %.40s is not known", stage);
		break;
	case STAGE_JOB:
		r = carry_script(j, response, script, &status, err);
		*ret_code =
			WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
		if (r == 0 && !WIFSIGNALED(status) && is_last(response, stage))
			r = settle(j, response, err);
		break;
	case STAGE_AFTER:
		r = settle(j, response, err);
		if (r == 0)
			r = run_helper(j, script, ret_code, err);
		break;
	case STAGE_BEFORE:
		r = run_helper(j, script, ret_code, err);
		break;
	}
	json_object_put(response);
	return r;
}

static int gitlab_run(const struct options *o)
{
	struct ci_job job = { .dirfd = -1 };
	struct err err = { "" };
	int code = 0;
	int r = options_want_args(o, 3, 3, &err);
	if (r == 0)
		r = open_job(&job, &err);
	if (r == 0)
		r = run_stage(&job, o->args[1], o->args[2], &err, &code);
	ci_job_close(&job);
	if (r < 0)
		return system_failure(&err);
	return code ? build_failure(code) : 0;
}

/* Always: the runner takes no notice of how it ends. */
static int gitlab_cleanup(const struct options *o)
{
	struct ci_job job;
	struct err err = { "" };
	(void)o;
	int r = open_job(&job, &err);
	if (r == 0)
		r = settle(&job, NULL, &err);
	if (r == 0)
		r = ci_job_remove(&job, &err);
	if (r < 0)
		log_error("%s", err.text);
	ci_job_close(&job);
	return r < 0 ? EXIT_USAGE : 0;
}

int ci_gitlab(const struct options *o)
{
	static const struct {
		const char *name;
		int (*run)(const struct options *o);
	} calls[] = {
		{ "config", gitlab_config },
		{ "prepare", gitlab_prepare },
		{ "run", gitlab_run },
		{ "cleanup", gitlab_cleanup },
	};
	static struct options rest;
	struct err err = { "" };
	for (size_t i = 0; o->arg_count && i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, o->args[0]) != 0)
			continue;
		if (calls[i].run != gitlab_config)
			return calls[i].run(o);
		if (options_parse_after_word(o, &rest, &err) == 0)
			return gitlab_config(&rest);
	}
	log_error("ci gitlab: %s", *err.text ? err.text : "config, prepare, run or cleanup");
	return code_from("SYSTEM_FAILURE_EXIT_CODE");
}
