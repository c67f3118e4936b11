/* Prints filter_programs.c: the table compiled for every plan. Make runs it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "sandbox/filter.h"
#include "sandbox/filter_compile.h"

static int print_program(size_t shape, size_t *ret_count, struct err *err)
{
	const struct box_plan plan = filter_plan(shape);
	cleanup_free struct sock_filter *insns = NULL;
	int r = filter_compile(&plan, &insns, ret_count, err);
	if (r < 0)
		return r;
	printf("static const struct sock_filter program_%zu[] = {\n", shape);
	for (size_t i = 0; i < *ret_count; i++)
		printf("\t{ %#x, %u, %u, %#x },\n", insns[i].code, insns[i].jt, insns[i].jf,
		       insns[i].k);
	printf("};\n");
	return 0;
}

int main(void)
{
	size_t counts[FILTER_SHAPES];
	struct err err;
	printf("/* Written by sandbox/gen/filters.c from base/syscalls.c. */\n"
	       "#include \"sandbox/filter.h\"\n\n");
	for (size_t i = 0; i < FILTER_SHAPES; i++) {
		if (print_program(i, &counts[i], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
	}
	printf("\nconst struct filter filter_programs[FILTER_SHAPES] = {\n");
	for (size_t i = 0; i < FILTER_SHAPES; i++)
		printf("\t{ %zu, program_%zu },\n", counts[i], i);
	printf("};\n");
	return fflush(stdout) || ferror(stdout);
}
