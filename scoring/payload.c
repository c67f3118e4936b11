/* Is what the action carries dangerous in itself, or unlike what this agent usually carries? */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scoring/dimensions.h"
#include "scoring/history_impl.h"
#include "scoring/shell.h"
#include "scoring/sql.h"
#include "scoring/statement.h"

enum {
	FEW_SIGMA = 3,
	MANY_SIGMA = 8,
	NAME_SHORT = 32, /* characters before the domain, dots not counted */
	NAME_LONG = 56,
};

static const float deviation_most = .40f;
static const float name_most = .95f;
static const float random_alike = .042f, words_alike = .058f;
static const float words_digits = .12f, random_digits = .30f; /* hex has .62 */

static void deviation(struct finding *f, const struct baseline_moments *m, int64_t value,
		      const char *why)
{
	if (value < 0)
		return;
	/* Squares compared, so that no root is taken. */
	float excess = (float)baseline_excess(m, baseline_bits((uint64_t)value));
	finding_raise(f,
		      deviation_most *
			      finding_ramp(excess, FEW_SIGMA * FEW_SIGMA, MANY_SIGMA * MANY_SIGMA),
		      why);
}

static void of_file(const struct action *a, struct finding *f)
{
	bool own = a->provenance == PROVENANCE_CREATED;

	if (a->op == OP_CHMOD) {
		if (a->mode & S_ISUID || (a->mode & S_ISGID && a->mode & S_IXGRP))
			finding_raise(f, own ? .60f : .80f, "sets the set-user-id bit");
		if (a->mode & S_IWOTH && !(a->mode & S_ISVTX))
			finding_raise(f, own ? .25f : .60f, "opens a file to everybody");
	}
	if (!own && (a->type == ACTION_FILE_DELETE || a->op == OP_TRUNCATE) && a->size_bytes > 0)
		/* From 1 GiB on: a loss that cannot be retyped. */
		finding_raise(f, .35f * finding_ramp((float)a->size_bytes, 0x1p30f, 0x1p34f),
			      "destroys very much data at once");
}

/*
 * A name that carries data: long, and its labels look drawn at random. What tunnels put before the
 * domain they own is base32, base64 or hex, as much as fits; what people name things is shorter and
 * repeats itself. The last two labels are the domain's own.
 */
static void of_name(const struct action *a, struct finding *f)
{
	const char *end = strchr(a->resource, ':');
	size_t len = end ? (size_t)(end - a->resource) : strlen(a->resource);
	unsigned counts[256] = { 0 }, total = 0;
	for (unsigned dots = 0; len > 0; len--)
		if (a->resource[len - 1] == '.' && ++dots == 2)
			break;
	for (size_t i = 0; i < len; i++) {
		if (a->resource[i] == '.')
			continue;
		counts[(unsigned char)a->resource[i]]++;
		total++;
	}
	if (total < NAME_SHORT)
		return;
	/* How often two characters of it are the same: in words about .065, in base32 half of that. */
	uint64_t same = 0;
	unsigned digits = 0;
	for (unsigned i = 0; i < 256; i++) {
		same += (uint64_t)counts[i] * (counts[i] - (counts[i] > 0));
		digits += i >= '0' && i <= '9' ? counts[i] : 0;
	}
	float alike = (float)same / ((float)total * (float)(total - 1));
	float spread = 1 - finding_ramp(alike, random_alike, words_alike);
	float numeric = finding_ramp((float)digits / (float)total, words_digits, random_digits);
	finding_raise(f,
		      name_most * finding_ramp((float)total, NAME_SHORT, NAME_LONG) *
			      (spread > numeric ? spread : numeric),
		      "a name long and random enough to carry data out");
}

static void of_statement(const struct action *a, const struct baseline *b, struct finding *f)
{
	struct sql_shape shape;

	statement_shape(a, &shape);
	finding_raise(f, shape.danger, shape.why);
	if (baseline_ready(b) && shape.kind > SQL_READ &&
	    !baseline_knows(b, BASELINE_STATEMENTS, sql_fingerprint(a->statement)))
		finding_raise(f, .20f, "a statement of a shape new to this agent");
}

struct finding payload_of(const struct action *a, const struct history *h)
{
	const struct baseline *b = &h->baseline;
	struct finding f = { 0 };

	switch (a->type) {
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
		of_file(a, &f);
		if (baseline_ready(b) && a->provenance != PROVENANCE_CREATED)
			deviation(&f, &b->size[a->type], a->size_bytes,
				  "a size unusual for this agent");
		break;
	case ACTION_CODE_EXECUTION:
		if (!a->argv)
			break;
		f = shell_danger(a);
		if (baseline_ready(b))
			deviation(&f, &b->argv, (int64_t)a->argv_len,
				  "arguments of a length unusual for this agent");
		break;
	case ACTION_API_CALL:
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
	case ACTION_NETWORK_REQUEST:
		if (a->statement)
			of_statement(a, b, &f);
		if (a->op == OP_RESOLVE)
			of_name(a, &f);
		break;
	case ACTION_NONE:
	case ACTION_TYPE_COUNT:
		break;
	}
	return f;
}
