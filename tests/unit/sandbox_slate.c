/* Calls that are out are found again by another mapping, each once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/slate.h"

enum { CALLS = 3000 };

struct seen {
	unsigned count;
	uint64_t sum;
};

static void see(void *arg, uint64_t id)
{
	struct seen *s = arg;
	s->count++;
	s->sum += id;
}

static void what_is_put_is_taken_once(void **state)
{
	(void)state;
	struct err err;
	int fd = slate_create();
	assert_true(fd >= 0);
	struct slate *before = slate_open(fd, &err);
	assert_non_null(before);
	const uint64_t first = UINT64_MAX - CALLS; /* ids of the kernel begin anywhere */
	uint64_t sum = 0;
	for (uint64_t i = 0; i < CALLS; i++) {
		slate_put(before, 1, first + i);
		slate_put(before, 2, 5 + i); /* another listener's, which begins elsewhere */
	}
	for (uint64_t i = 0; i < CALLS; i++) {
		if (i % 3 == 0)
			slate_wipe(before, 1, first + i);
		else
			sum += first + i;
	}
	slate_wipe(before, 2, first + 1); /* not its own: nothing goes */
	slate_begin(before, 7);
	char name[SLATE_SESSION_SIZE];
	slate_signed(before, name);
	assert_string_equal(name, "");
	slate_sign(before, "20261122-abcdef");
	slate_close(before);

	struct slate *after = slate_open(fd, &err);
	struct seen seen = { 0 };
	assert_non_null(after);
	slate_signed(after, name);
	assert_string_equal(name, "20261122-abcdef");
	slate_take(after, 1, see, &seen);
	assert_int_equal(seen.count, CALLS - CALLS / 3);
	assert_true(seen.sum == sum);
	seen = (struct seen){ 0 };
	slate_take(after, 1, see, &seen);
	assert_int_equal(seen.count, 0);
	slate_take(after, 2, see, &seen);
	assert_int_equal(seen.count, CALLS);
	assert_true(slate_begun(after, 7));
	assert_false(slate_begun(after, 8));
	slate_forget(after, 7);
	assert_false(slate_begun(after, 7));
	slate_close(after);
	close(fd);
}

static void another_file_is_none(void **state)
{
	(void)state;
	struct err err;
	int pair[2];
	assert_int_equal(pipe(pair), 0);
	assert_null(slate_open(pair[0], &err));
	close(pair[0]);
	close(pair[1]);
	slate_put(NULL, 1, 2); /* where there is none, nothing is put down */
	slate_wipe(NULL, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_taken_once),
		cmocka_unit_test(another_file_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
