/*
 * The container hooks of GitHub's runner: one command as a line of JSON on stdin, the answer in its
 * response file.
 *
 * Theory of operation. prepare_job starts the job's sandbox, each run_script_step is an errand in it, cleanup_job ends it.
 * The runner speaks of its directories by the names they have in its containers (/__w, /__e, /github/home): inside,
 * those are links to the real ones, so that what is decided and logged has one name. The runner's directory for what
 * it hands over (_temp) is direct; the checkout and all else is in the overlay, and gone at the end. The workspace is the
 * directory in which they all lie; what the runner keeps of itself there is blocked.
 *
 * An image is one that the runner's administrator has put into --images-dir; a job names it, and cannot
 * name a path. Nothing is pulled.
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

#include "base/path.h"
#include "base/scope.h"
#include "launcher/ci/ci.h"
#include "launcher/ci/harvest.h"
#include "launcher/ci/job.h"
#include "launcher/ci/report.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/sibling.h"
#include "rootfs/content.h"

enum {
	REQUEST_MAX = 16 << 20,
	MOUNTS_MAX = 32,
	STEP_ARGS_MAX = 1024,
	STEP_VARIABLES_MAX = 8192,
	WORDS_MAX = 2 * OPTIONS_GIVEN_MAX + 64,
	FAILED = 1, /* what the runner takes for a failure of the job */
};

/* What the runner asks for. */
struct hook {
	const struct options *options;
	struct json_object *request;      /* owned */
	struct json_object *args, *state; /* borrowed from it; NULL missing */
	const char *response_file;        /* borrowed; NULL none is wanted */
};

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *value = json_object_object_get(o, name);
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static size_t length_of(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static int read_request(struct hook *h, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = malloc(REQUEST_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	for (ssize_t n = 1; n > 0 && len < REQUEST_MAX; len += (size_t)(n > 0 ? n : 0)) {
		n = read(STDIN_FILENO, text + len, REQUEST_MAX - len);
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "the runner's request");
		if (n > 0 && memchr(text + len, '\n', (size_t)n)) {
			len += (size_t)n;
			break;
		}
	}
	text[len] = '\0';
	h->request = json_tokener_parse(text);
	if (!json_object_is_type(h->request, json_type_object))
		return err_set(err, EBADMSG, "the runner's request is no JSON object on one line");
	h->args = json_object_object_get(h->request, "args");
	h->state = json_object_object_get(h->request, "state");
	struct json_object *file = json_object_object_get(h->request, "responseFile");
	h->response_file =
		file && json_object_get_string_len(file) ? json_object_get_string(file) : NULL;
	return 0;
}

/* The runner made the file, and reads what was added. */
static int respond(const struct hook *h, struct json_object *answer, struct err *err)
{
	if (!h->response_file)
		return 0;
	cleanup_file FILE *f = fopen(h->response_file, "ae");
	if (!f ||
	    fprintf(f, "%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN)) <
		    0 ||
	    fflush(f) != 0)
		return err_sys(err, errno, "%s", h->response_file);
	return 0;
}

/* The runner's directories: where they are, and what they are called inside. */
struct mounts {
	char source[MOUNTS_MAX][PATH_MAX], target[MOUNTS_MAX][PATH_MAX];
	size_t count;
	char top[PATH_MAX];  /* the directory in which all of them lie */
	char work[PATH_MAX]; /* the source of /__w */
	char own[PATH_MAX]; /* where the runner's own files are: beside the source of /__e; "" unknown */
};

static void common_dir(char *top, const char *path)
{
	while (*top && !path_is_within(path, top)) {
		char *slash = strrchr(top, '/');
		*slash = '\0';
	}
}

/* -EPERM for one that lies elsewhere than the one above it says. */
static int is_covered(const struct mounts *m, const char *source, const char *target, bool *ret,
		      struct err *err)
{
	*ret = false;
	for (size_t i = 0; i < m->count; i++) {
		size_t len = strlen(m->target[i]);
		if (!path_is_within(target, m->target[i]))
			continue;
		size_t from = strlen(m->source[i]);
		if (!path_is_within(source, m->source[i]) ||
		    strcmp(source + from, target + len) != 0)
			return err_set(err, EPERM, "%s cannot be shown as %s: that is in %s",
				       source, target, m->source[i]);
		*ret = true;
	}
	return 0;
}

static int add_mount(struct mounts *m, struct json_object *one, struct err *err)
{
	const char *target = text_of(one, "targetVolumePath");
	const char *given = text_of(one, "sourceVolumePath");
	const char *name = strrchr(given, '/');
	char source[PATH_MAX];
	bool covered;
	/* a socket of a container engine is a way out */
	if (name && strstr(name, ".sock"))
		return 0;
	if (*target != '/' || !realpath(given, source) || m->count == MOUNTS_MAX ||
	    strlen(target) >= PATH_MAX)
		return err_set(err, EINVAL, "the mount of %.200s as %.200s cannot be made", given,
			       target);
	int r = is_covered(m, source, target, &covered, err);
	if (r < 0 || covered)
		return r;
	strcpy(m->source[m->count], source);
	strcpy(m->target[m->count++], target);
	if (!*m->top)
		strcpy(m->top, source);
	common_dir(m->top, source);
	if (strcmp(target, "/__w") == 0)
		strcpy(m->work, source);
	if (strcmp(target, "/__e") == 0)
		snprintf(m->own, sizeof(m->own), "%.*s", (int)(strrchr(source, '/') - source),
			 source);
	return 0;
}

static int read_mounts(struct json_object *container, struct mounts *m, struct err *err)
{
	struct json_object *list = json_object_object_get(container, "systemMountVolumes");
	*m = (struct mounts){ 0 };
	/* parents before what is in them */
	for (unsigned depth = 1; depth < 8; depth++) {
		for (size_t i = 0; i < length_of(list); i++) {
			struct json_object *one = json_object_array_get_idx(list, i);
			unsigned slashes = 0;
			for (const char *c = text_of(one, "targetVolumePath"); *c; c++)
				slashes += *c == '/';
			int r = slashes == depth ? add_mount(m, one, err) : 0;
			if (r < 0)
				return r;
		}
	}
	if (!*m->work)
		return err_set(err, EINVAL, "the runner names no directory for /__w");
	return *m->top ? 0
		       : err_set(err, EINVAL,
				 "the runner's directories have none above them but the root");
}

/* What is asked for that no sandbox here gives. */
static int refuse_unbuilt(struct json_object *args, struct json_object *container, struct err *err)
{
	if (length_of(json_object_object_get(args, "services")))
		return err_set(err, ENOSYS, "the job asks for services; this hook starts none");
	if (length_of(json_object_object_get(container, "userMountVolumes")))
		return err_set(err, ENOSYS,
			       "the job asks for volumes of the host; --direct in the hook's "
			       "script grants "
			       "directories");
	if (*text_of(container, "createOptions"))
		log_warn("container options are not applied: %s",
			 text_of(container, "createOptions"));
	return 0;
}

/* "host", or a file or directory of --images-dir. @ret "": the host's tree. */
static int find_image(const struct options *o, const char *name, char ret[static PATH_MAX],
		      struct err *err)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *dir = options_value(o, CI_IMAGES_DIR);
	char file[256];
	*ret = '\0';
	if (!*name || strcmp(name, "host") == 0)
		return 0;
	if (!dir)
		return err_set(
			err, ENOENT,
			"the job asks for the image %.100s: this hook has no --images-dir, and "
			"knows only the image host",
			name);
	snprintf(file, sizeof(file), "%s", name);
	for (char *c = file; *c; c++)
		if (!strchr(plain, *c) || (c == file && *c == '.'))
			*c = '_';
	snprintf(ret, PATH_MAX, "%s/%s", dir, file);
	if (access(ret, R_OK) < 0)
		return err_sys(err, errno, "the image %.100s would be %.300s", name, ret);
	return 0;
}

/* A copy of vsandbox-errands where an image sees it: in the runner's own exchange directory. */
static int place_errands(struct ci_job *j, const struct mounts *m, char ret[static PATH_MAX],
			 struct err *err)
{
	char path[PATH_MAX];
	int r = sibling_path("errands", path, err);
	if (r < 0)
		return r;
	if (snprintf(ret, PATH_MAX, "%s/_temp/vsandbox-%s", m->work, j->name) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "%s", m->work);
	cleanup_fd int in = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_fd int out = open(ret, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	r = in < 0 || out < 0 ? -errno : content_copy(in, out);
	if (r < 0)
		return err_sys(err, -r, "cannot copy %s", path);
	ci_job_set(j, "errands", json_object_new_string(ret));
	return fchmod(out, 0755) < 0 ? err_sys(err, errno, "%s", ret) : 0;
}

/* The words that hide what the runner keeps of itself: its registration is a credential. */
static size_t block_own(const struct mounts *m, char patterns[][PATH_MAX], char **words)
{
	static const char *const files[] = { "/.credentials*", "/.runner*", "/.env", "/.path",
					     "/_diag/**" };
	static char block[] = "--block";
	size_t n = 0;
	for (size_t i = 0; *m->own && i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(patterns[i], PATH_MAX, "%.*s%s", PATH_MAX - 32, m->own, files[i]);
		words[n++] = block;
		words[n++] = patterns[i];
	}
	return n;
}

static int start_sandbox(struct ci_job *j, const struct hook *h, struct mounts *m,
			 const char *image, struct err *err)
{
	static char names[OPTIONS_GIVEN_MAX][OPTION_WORD_SIZE], own[5][PATH_MAX];
	static char flags[][16] = { "--no-snapshot", "--name", "github", "--direct", "--rootfs" };
	char *words[WORDS_MAX], *links[2 * MOUNTS_MAX + 1], temp[PATH_MAX], errands[PATH_MAX];
	size_t n = 0, links_count = 0;
	snprintf(temp, sizeof(temp), "%.*s/_temp", PATH_MAX - 8, m->work);
	for (size_t i = 0; i < 4; i++)
		words[n++] = flags[i];
	words[n++] = temp;
	n += block_own(m, own, words + n);
	if (*image) {
		words[n++] = flags[4];
		words[n++] = (char *)(uintptr_t)image;
	}
	int more = ci_run_words(h->options, names, words + n, WORDS_MAX - (int)n - 1);
	if (more < 0)
		return err_set(err, E2BIG, "too many options");
	words[n + (size_t)more] = NULL;
	for (size_t i = 0; i < m->count; i++) {
		links[links_count++] = m->target[i];
		links[links_count++] = m->source[i];
	}
	links[links_count] = NULL;
	const struct ci_start start = { .workspace = m->top,
					.options = words,
					.links = links,
					.errands = *image ? errands : NULL };
	int r = *image ? place_errands(j, m, errands, err) : 0;
	return r < 0 ? r : ci_job_start(j, &start, err);
}

static bool is_alpine(const char *image)
{
	char path[PATH_MAX + 32];
	snprintf(path, sizeof(path), "%s/etc/alpine-release", image);
	return access(path, F_OK) == 0;
}

static struct json_object *job_context(const struct ci_job *j, const char *image)
{
	struct json_object *answer = json_object_new_object(), *state = json_object_new_object(),
			   *context = json_object_new_object(),
			   *container = json_object_new_object();
	json_object_object_add(state, "job", json_object_new_string(j->name));
	json_object_object_add(container, "id", json_object_new_string(ci_job_text(j, "session")));
	json_object_object_add(container, "network", json_object_new_string("vsandbox"));
	json_object_object_add(context, "container", container);
	json_object_object_add(context, "services", json_object_new_array());
	json_object_object_add(answer, "state", state);
	json_object_object_add(answer, "context", context);
	json_object_object_add(answer, "isAlpine", json_object_new_boolean(is_alpine(image)));
	return answer;
}

static int prepare_job(struct hook *h, int *ret_code, struct err *err)
{
	static struct mounts mounts; /* large for a stack */
	struct ci_job job = { .dirfd = -1 };
	char image[PATH_MAX];
	struct json_object *container = json_object_object_get(h->args, "container");
	(void)ret_code;
	if (!json_object_is_type(container, json_type_object))
		return err_set(err, EINVAL, "prepare_job without a container");
	int r = refuse_unbuilt(h->args, container, err);
	if (r == 0)
		r = find_image(h->options, text_of(container, "image"), image, err);
	if (r == 0)
		r = read_mounts(container, &mounts, err);
	if (r == 0)
		r = ci_job_create("github", &job, err);
	if (r == 0 && options_value(h->options, CI_REPORT_DIR))
		ci_job_set(&job, "report_dir",
			   json_object_new_string(options_value(h->options, CI_REPORT_DIR)));
	if (r == 0)
		r = start_sandbox(&job, h, &mounts, image, err);
	if (r == 0) {
		struct json_object *answer = job_context(&job, image);
		r = respond(h, answer, err);
		json_object_put(answer);
	}
	if (r < 0 && job.dirfd >= 0) {
		struct session s;
		if (ci_job_end(&job, &s, NULL) == 0)
			session_close(&s);
		if (*ci_job_text(&job, "errands"))
			unlink(ci_job_text(&job, "errands"));
		ci_job_remove(&job, NULL);
	}
	ci_job_close(&job);
	return r;
}

/* "K=V" of the step's variables, PATH with what is prepended to it. Owned entries, NULL-terminated. */
static int step_variables(struct json_object *args, char **ret, struct err *err)
{
	size_t n = 0;
	const char *path = getenv("PATH");
	struct json_object *variables = json_object_object_get(args, "environmentVariables");
	struct json_object *prepend = json_object_object_get(args, "prependPath");
	if (json_object_is_type(variables, json_type_object)) {
		json_object_object_foreach(variables, name, value)
		{
			const char *text = json_object_get_string(value);
			if (strcmp(name, "PATH") == 0 && text)
				path = text;
			/* ours are not the job's to set; a name without letters is none */
			if (!*name || strchr(name, '=') || strncmp(name, "VSANDBOX", 8) == 0 ||
			    !text)
				continue;
			if (n == STEP_VARIABLES_MAX - 2 ||
			    asprintf(&ret[n], "%s=%s", name, text) < 0)
				return err_set(err, E2BIG, "the step has too many variables");
			ret[++n] = NULL;
		}
	}
	FILE *f;
	char *joined = NULL;
	size_t len = 0;
	f = open_memstream(&joined, &len);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	fputs("PATH=", f);
	if (json_object_is_type(prepend, json_type_string) && json_object_get_string_len(prepend))
		fprintf(f, "%s:", json_object_get_string(prepend));
	for (size_t i = 0; i < length_of(prepend); i++)
		fprintf(f, "%s:", json_object_get_string(json_object_array_get_idx(prepend, i)));
	fputs(path ? path : "/usr/local/bin:/usr/bin:/bin", f);
	if (fclose(f) != 0)
		return err_set(err, ENOMEM, "out of memory");
	ret[n++] = joined;
	ret[n] = NULL;
	return 0;
}

static int open_job(const struct hook *h, struct ci_job *ret, struct err *err)
{
	const char *name = text_of(h->state, "job");
	*ret = (struct ci_job){ .dirfd = -1 };
	return *name ? ci_job_open(name, ret, err)
		     : err_set(err, EINVAL, "the runner gives no state of prepare_job");
}

static int carry_step(struct ci_job *j, struct json_object *args, int *ret_code, struct err *err)
{
	char *argv[STEP_ARGS_MAX + 2];
	cleanup_free char **set = calloc(STEP_VARIABLES_MAX, sizeof(*set));
	char **envp = NULL;
	struct json_object *words = json_object_object_get(args, "entryPointArgs");
	size_t n = length_of(words);
	int status = 0;
	if (!set || !*text_of(args, "entryPoint") || n > STEP_ARGS_MAX)
		return err_set(err, EINVAL, "the step names no command, or one that is too long");
	argv[0] = (char *)(uintptr_t)text_of(args, "entryPoint");
	for (size_t i = 0; i < n; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(words, i));
		argv[i + 1] = (char *)(uintptr_t)(word ? word : "");
	}
	argv[n + 1] = NULL;
	int r = step_variables(args, set, err);
	if (r == 0)
		r = run_environment(environ, true, set, ci_job_text(j, "session"), &envp, err);
	if (r == 0) {
		const char *cwd = text_of(args, "workingDirectory");
		struct errand e = { .cwd = *cwd ? cwd : "/__w", .argv = argv, .envp = envp };
		r = ci_job_carry(j, &e, &status, err);
	}
	*ret_code = WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
	for (char **v = set; *v; v++)
		free(*v);
	run_environment_free(envp);
	return r;
}

static int run_script_step(struct hook *h, int *ret_code, struct err *err)
{
	struct ci_job job;
	int r = open_job(h, &job, err);
	if (r == 0)
		r = carry_step(&job, h->args, ret_code, err);
	ci_job_close(&job);
	return r;
}

/* A container of its own would see the checkout as it is outside: nothing. */
static int run_container_step(struct hook *h, int *ret_code, struct err *err)
{
	(void)ret_code;
	const char *image = text_of(h->args, "image");
	return err_set(
		err, ENOSYS,
		"the step wants a container of its own (%.200s), which this hook does not start: "
		"run its program in a step of the job",
		*image ? image : text_of(h->args, "dockerfile"));
}

static int cleanup_job(struct hook *h, int *ret_code, struct err *err)
{
	struct ci_job job;
	struct session s;
	(void)ret_code;
	/* the runner cleans up after a prepare_job that failed, too */
	if (!*text_of(h->state, "job"))
		return 0;
	int r = open_job(h, &job, err);
	if (r == 0)
		r = ci_job_end(&job, &s, err);
	if (r == 0) {
		ci_report_tell(s.id, stdout);
		const char *dir = ci_job_text(&job, "report_dir");
		if (*dir)
			r = ci_report_write_to(s.id, dir, err);
		struct err dropping;
		if (ci_drop(&s, &dropping) < 0)
			log_warn("%s, continuing", dropping.text);
		session_close(&s);
	}
	if (*ci_job_text(&job, "errands"))
		unlink(ci_job_text(&job, "errands"));
	if (r == 0)
		r = ci_job_remove(&job, err);
	ci_job_close(&job);
	return r;
}

int ci_github(const struct options *o)
{
	static const struct {
		const char *name;
		int (*run)(struct hook *h, int *ret_code, struct err *err);
	} commands[] = {
		{ "prepare_job", prepare_job },
		{ "run_script_step", run_script_step },
		{ "run_container_step", run_container_step },
		{ "cleanup_job", cleanup_job },
	};
	struct hook h = { .options = o };
	struct err err = { "" };
	int code = 0;
	int r = options_want_args(o, 0, 0, &err);
	if (r == 0)
		r = read_request(&h, &err);
	const char *name = r == 0 ? text_of(h.request, "command") : "";
	size_t i = 0;
	while (i < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[i].name, name) != 0)
		i++;
	if (r == 0)
		r = i < sizeof(commands) / sizeof(commands[0])
			    ? commands[i].run(&h, &code, &err)
			    : err_set(&err, EINVAL, "the command '%.40s' is not known", name);
	json_object_put(h.request);
	if (r < 0)
		log_error("%s", err.text);
	return r < 0 ? FAILED : code;
}
