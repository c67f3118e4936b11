#include "launcher/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum { OPTION_NAME_MAX = 40 };

static int unknown(const struct option_spec *specs, const char *given, const char *name,
		   struct err *err)
{
	const char *near = specs ? nearest_word(name, &specs->name, sizeof(*specs)) : NULL;
	if (near)
		return err_set(err, EINVAL, "unknown option '%s'; did you mean --%s?", given, near);
	return err_set(err, EINVAL, "unknown option '%s'", given);
}

static int add(struct options *o, unsigned id, const char *value, struct err *err)
{
	if (o->count == OPTIONS_GIVEN_MAX)
		return err_set(err, EINVAL, "more than %d options", OPTIONS_GIVEN_MAX);
	o->given[o->count++] = (struct option_given){ .id = id, .value = value };
	return 0;
}

void options_variable(const struct option_spec *spec, char *ret, size_t size)
{
	size_t at = (size_t)snprintf(ret, size, "VSANDBOX_");
	for (const char *c = spec->name; *c && at < size - 1; c++)
		ret[at++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	ret[at] = 0;
}

static int from_environment(struct options *o, struct err *err)
{
	for (unsigned id = 0; o->specs && o->specs[id].name; id++) {
		const struct option_spec *spec = &o->specs[id];
		char name[64];
		options_variable(spec, name, sizeof(name));
		const char *value = getenv(name);
		if (!value || !*value)
			continue;
		if (!spec->value) {
			if (!strcmp(value, "0") || !strcasecmp(value, "no") ||
			    !strcasecmp(value, "false"))
				continue;
			if (strcmp(value, "1") && strcasecmp(value, "yes") &&
			    strcasecmp(value, "true"))
				return err_set(err, EINVAL, "%s is '%.40s'; a switch takes 1 or 0",
					       name, value);
			value = NULL;
		}
		int r = add(o, id, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A long option at *@argv; moves *@argv over the value it took. */
static int parse_long(struct options *o, char ***argv, struct err *err)
{
	const char *text = **argv + 2;
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	for (unsigned id = 0; o->specs && o->specs[id].name; id++) {
		const struct option_spec *spec = &o->specs[id];
		if (strlen(spec->name) != len || strncmp(spec->name, text, len) != 0)
			continue;
		if (!spec->value)
			return equals ? err_set(err, EINVAL, "--%s takes no value", spec->name)
				      : add(o, id, NULL, err);
		if (equals)
			return add(o, id, equals + 1, err);
		if (!(*argv)[1])
			return err_set(err, EINVAL, "--%s wants a value: --%s %s", spec->name,
				       spec->name, spec->value);
		++*argv;
		return add(o, id, **argv, err);
	}
	char name[OPTION_NAME_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", (int)len, text);
	return unknown(o->specs, **argv, name, err);
}

/* A bundle of letters at *@argv; the first with a value takes the rest, or the next word. */
static int parse_letters(struct options *o, char ***argv, struct err *err)
{
	for (const char *c = **argv + 1; *c; c++) {
		unsigned id = 0;
		while (o->specs && o->specs[id].name && o->specs[id].letter != *c)
			id++;
		if (!o->specs || !o->specs[id].name)
			return (**argv)[2] ? err_set(err, EINVAL, "unknown option '-%c' in '%s'",
						     *c, **argv)
					   : err_set(err, EINVAL, "unknown option '-%c'", *c);
		int r;
		if (!o->specs[id].value) {
			r = add(o, id, NULL, err);
			if (r < 0)
				return r;
			continue;
		}
		if (c[1])
			return add(o, id, c + 1, err);
		if (!(*argv)[1])
			return err_set(err, EINVAL, "-%c wants a value: -%c %s", *c, *c,
				       o->specs[id].value);
		++*argv;
		return add(o, id, **argv, err);
	}
	return 0;
}

/* Options up to the first positional; the positionals are what is left. */
static int parse_from(struct options *ret, char **argv, struct err *err)
{
	int r = 0;
	for (; r == 0 && *argv && (*argv)[0] == '-' && (*argv)[1]; argv++) {
		if (!strcmp(*argv, "--")) {
			ret->dashes = true;
			argv++;
			break;
		}
		if (!strcmp(*argv, "--help") || !strcmp(*argv, "-h"))
			return OPTIONS_HELP;
		r = (*argv)[1] == '-' ? parse_long(ret, &argv, err)
				      : parse_letters(ret, &argv, err);
	}
	ret->args = argv;
	ret->arg_count = 0;
	while (r == 0 && argv[ret->arg_count])
		ret->arg_count++;
	return r;
}

int options_parse(const struct option_spec *specs, char **argv, struct options *ret,
		  struct err *err)
{
	ret->verb = NULL;
	ret->specs = specs;
	ret->count = 0;
	ret->dashes = false;
	int r = from_environment(ret, err);
	return r == 0 ? parse_from(ret, argv, err) : r;
}

int options_parse_after_word(const struct options *o, struct options *ret, struct err *err)
{
	*ret = *o;
	if (o->arg_count && !o->dashes)
		return parse_from(ret, o->args + 1, err);
	ret->args += o->arg_count > 0;
	ret->arg_count -= o->arg_count > 0;
	return 0;
}

int options_words(const struct options *o, unsigned first, char names[][OPTION_WORD_SIZE],
		  char **words, int room)
{
	int n = 0;
	for (unsigned i = 0; i < o->count; i++) {
		const struct option_given *g = &o->given[i];
		if (g->id < first)
			continue;
		if (n + 2 > room)
			return -E2BIG;
		snprintf(names[i], OPTION_WORD_SIZE, "--%s", o->specs[g->id].name);
		words[n++] = names[i];
		if (g->value)
			words[n++] = (char *)(uintptr_t)g->value;
	}
	return n;
}

bool options_has(const struct options *o, unsigned id)
{
	for (unsigned i = 0; i < o->count; i++)
		if (o->given[i].id == id)
			return true;
	return false;
}

const char *options_value(const struct options *o, unsigned id)
{
	for (unsigned i = o->count; i-- > 0;)
		if (o->given[i].id == id)
			return o->given[i].value;
	return NULL;
}

int options_want_args(const struct options *o, int least, int most, struct err *err)
{
	for (int i = 1; !o->dashes && i < o->arg_count; i++)
		if (o->args[i][0] == '-' && o->args[i][1])
			return err_set(err, EINVAL, "options go before the first argument: %s %s",
				       o->args[i], o->args[0]);
	const char *verb = o->verb ? o->verb : "";
	const char *help = o->verb ? "; vsandbox help " : "";
	if (o->arg_count < least)
		return err_set(err, EINVAL, "an argument is missing%s%s", help, verb);
	if (o->arg_count > most)
		return err_set(err, EINVAL, "unexpected argument '%s'%s%s", o->args[most], help,
			       verb);
	return 0;
}
