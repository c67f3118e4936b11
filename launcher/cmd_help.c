#include <stdio.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"
#include "launcher/verb.h"

static void print_option(const struct option_spec *spec)
{
	char left[64];
	snprintf(left, sizeof(left), "%c%c%s --%s%s%s", spec->letter ? '-' : ' ',
		 spec->letter ? spec->letter : ' ', spec->letter ? "," : " ", spec->name,
		 spec->value ? " " : "", spec->value ? spec->value : "");
	printf("  %-34s %s\n", left, spec->help);
}

static void print_program(void)
{
	puts("usage: vsandbox VERB [OPTION…] [ARGUMENT…]\n\n"
	     "Runs an AI agent or a CI job so that nothing it does is final until you say so.\n");
	for (const struct verb *v = verb_table; v->name; v++)
		printf("  %-12s %s\n", v->name, v->help);
	puts("\nvsandbox help VERB says more. Every flag --some-name can also be given as "
	     "VSANDBOX_SOME_NAME.\nWhere SESSION is left out it is the latest from this directory, "
	     "else your latest;\nan id may be shortened while unique.");
}

void help_print(const struct verb *v)
{
	if (!v) {
		print_program();
		return;
	}
	printf("usage: vsandbox %s%s%s%s\n\n%s\n", v->name, v->options ? " [OPTION…]" : "",
	       *v->synopsis ? " " : "", v->synopsis, v->help);
	if (v->options)
		puts("");
	for (const struct option_spec *o = v->options; o && o->name; o++)
		print_option(o);
}

int cmd_help(const struct options *o)
{
	const struct verb *v = o->arg_count ? verb_find(o->args[0]) : NULL;
	if (o->arg_count && !v) {
		log_error("there is no verb '%s'; vsandbox help lists them", o->args[0]);
		return EXIT_USAGE;
	}
	help_print(v);
	return out_finish();
}

int cmd_version(const struct options *o)
{
	(void)o;
	puts("vsandbox " VSANDBOX_VERSION);
	return out_finish();
}
