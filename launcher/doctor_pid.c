#include "launcher/doctor_pid.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"
#include "sandbox/attachable.h"

static void print_check(const struct attachable_check *c, bool ok, const char *text, bool json,
			bool first)
{
	if (json) {
		fputs(first ? "{" : ",{", stdout);
		json_member(stdout, true, "check", c->name);
		json_member(stdout, false, "level", ok ? "ok" : "fail");
		json_member(stdout, false, "needed_for", c->purpose);
		json_member(stdout, false, "text", text);
		putchar('}');
		return;
	}
	bool color = term_color(1);
	printf("%s%-4s%s  %-12s ", color ? ok ? TERM_GREEN : TERM_RED : "", ok ? "ok" : "fail",
	       color ? TERM_RESET : "", c->name);
	term_text(stdout, text);
	putchar('\n');
}

int doctor_pid(const char *pid, bool json)
{
	struct attachable a;
	struct err err = { "" };
	char *end;
	long number = strtol(pid, &end, 10);
	unsigned failed = 0;
	if (end == pid || *end || number <= 0 || number > INT32_MAX) {
		log_error("--pid '%.40s' is no process number", pid);
		return EXIT_USAGE;
	}
	if (attachable_open((pid_t)number, &a, &err) < 0) {
		attachable_finish(&a);
		log_error("%s", err.text);
		return EXIT_DOCTOR;
	}
	if (json)
		printf("{\"schema_version\":1,\"pid\":%ld,\"checks\":[", number);
	for (const struct attachable_check *c = attachable_checks; c->name; c++) {
		bool ok = c->run(&a, &err) == 0;
		failed += !ok;
		print_check(c, ok, err.text, json, c == attachable_checks);
	}
	attachable_finish(&a);
	if (json)
		printf("],\"ok\":%s}\n", failed ? "false" : "true");
	else
		printf("%s\n", failed ? "attach would refuse this process"
				      : "attach would take this process; its descendants are "
					"looked at when it does");
	int r = out_finish();
	return r ? r : failed ? EXIT_DOCTOR : 0;
}
