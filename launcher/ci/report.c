#include "launcher/ci/report.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "base/scope.h"
#include "launcher/ci/ci.h"
#include "launcher/effects.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"

enum { LISTED = 50 /* to a person */, LINE_SIZE = 8192, FILE_NAME_SIZE = 64 };

enum ci_format { CI_TEXT, CI_JUNIT, CI_SARIF, CI_FORMAT_COUNT };

static void write_text(FILE *f, const struct ci_findings *all)
{
	const struct session *s = &all->session;
	char line[LINE_SIZE];
	fprintf(f,
		"vsandbox: session %s, policy %s: %llu actions logged, %llu alerted, %llu denied; "
		"highest score %.2f\n",
		s->id, session_text(s, "policy"), (unsigned long long)all->actions,
		(unsigned long long)all->alerts, (unsigned long long)all->denials, all->top_score);
	for (unsigned i = 0; i < all->count && i < LISTED; i++) {
		ci_finding_text(&all->items[i], line, sizeof(line));
		fprintf(f, "  %s\n", line);
	}
	if (all->count > LISTED || all->unlisted)
		fprintf(f, "  and %llu more: vsandbox logs %s\n",
			(unsigned long long)(all->unlisted +
					     (all->count > LISTED ? all->count - LISTED : 0)),
			s->id);
	if (all->damaged)
		fprintf(f, "  %llu lines of the log cannot be read\n",
			(unsigned long long)all->damaged);
	struct json_object *effects = json_object_object_get(s->end, "external_effects");
	if (json_object_is_type(effects, json_type_array) && json_object_array_length(effects)) {
		fputs("left the machine:\n", f);
		effects_print(f, "  ", effects);
	}
}

static const struct {
	const char *name, *suffix;
	void (*write)(FILE *f, const struct ci_findings *all);
} formats[CI_FORMAT_COUNT] = {
	[CI_TEXT] = { "text", "txt", write_text },
	[CI_JUNIT] = { "junit", "junit.xml", ci_report_junit },
	[CI_SARIF] = { "sarif", "sarif", ci_report_sarif },
};

/* -EINVAL for a name that is none of text, junit, sarif. */
static int format_parse(const char *name, enum ci_format *ret, struct err *err)
{
	for (enum ci_format f = 0; f < CI_FORMAT_COUNT; f++) {
		if (strcmp(formats[f].name, name) == 0) {
			*ret = f;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--format '%.20s': text, junit or sarif", name);
}

/* Memory first: a file is there with all of it or not at all. */
static int write_one(const struct ci_findings *all, enum ci_format format, int dirfd,
		     const char *name, struct err *err)
{
	char file[FILE_NAME_SIZE];
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	formats[format].write(f, all);
	if (fclose(f) != 0)
		return err_set(err, ENOMEM, "out of memory");
	snprintf(file, sizeof(file), "%s.%s", name, formats[format].suffix);
	return state_write_file(dirfd, file, text, len, err);
}

int ci_report_write(const char *id, int dirfd, const char *name, struct err *err)
{
	struct ci_findings *all = NULL;
	int r = ci_findings_read(id, &all, err);
	for (enum ci_format f = 0; r == 0 && f < CI_FORMAT_COUNT; f++)
		r = write_one(all, f, dirfd, name, err);
	ci_findings_free(all);
	return r;
}

int ci_report_write_to(const char *id, const char *dir, struct err *err)
{
	cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "the directory for reports, %s", dir)
		      : ci_report_write(id, fd, id, err);
}

void ci_report_tell(const char *id, FILE *f)
{
	struct ci_findings *all = NULL;
	struct err err;
	if (ci_findings_read(id, &all, &err) < 0)
		fprintf(f, "vsandbox: no report: %s\n", err.text);
	else
		write_text(f, all);
	ci_findings_free(all);
	fflush(f);
}

int ci_report(const struct options *o)
{
	const char *name = options_value(o, CI_FORMAT);
	struct ci_findings *all = NULL;
	enum ci_format format = CI_TEXT;
	struct err err;
	int r = options_want_args(o, 0, 1, &err);
	if (r == 0 && name)
		r = format_parse(name, &format, &err);
	if (r == 0)
		r = ci_findings_read(o->args[0], &all, &err);
	if (r < 0) {
		log_error("ci report: %s", err.text);
		return EXIT_USAGE;
	}
	formats[format].write(stdout, all);
	ci_findings_free(all);
	return out_finish();
}
