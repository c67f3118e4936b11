/* Who is confined to one processor for a wake has its own affinity back afterwards, whatever happened meanwhile. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/placement.h"

enum { FAR_US = 1000 };

struct both {
	pid_t caller;
	cpu_set_t all; /* what this test may use */
};

static int setup(void **state)
{
	static struct both b;
	if (sched_getaffinity(0, sizeof(b.all), &b.all) < 0)
		return -1;
	b.caller = fork();
	if (b.caller == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	*state = &b;
	return b.caller < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct both *b = *state;
	kill(b->caller, SIGKILL);
	waitpid(b->caller, NULL, 0);
	return sched_setaffinity(0, sizeof(b->all), &b->all);
}

static void needs_two(const struct both *b)
{
	if (CPU_COUNT(&b->all) > 1)
		return;
	print_message("# SKIP one processor only\n");
	skip();
}

static void assert_affinity(pid_t pid, const cpu_set_t *expected)
{
	cpu_set_t now;
	assert_int_equal(sched_getaffinity(pid, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, expected));
}

/* A wake that took long: the next ones are to be near. */
static void far_wake(struct placement *p, pid_t caller)
{
	bool confined = placement_begin(p, caller);
	usleep(FAR_US);
	placement_end(p, caller, confined);
}

static void a_first_wake_is_left_alone(void **state)
{
	struct both *b = *state;
	struct placement p = { 0 };
	bool confined = placement_begin(&p, b->caller);
	assert_false(confined);
	assert_affinity(b->caller, &b->all);
	placement_end(&p, b->caller, confined);
	assert_affinity(b->caller, &b->all);
}

static void after_a_far_wake_the_next_are_near(void **state)
{
	struct both *b = *state;
	needs_two(b);
	struct placement p = { 0 };
	far_wake(&p, b->caller);
	for (int i = 0; i < 2; i++) {
		bool confined = placement_begin(&p, b->caller);
		assert_true(confined);
		assert_int_equal(CPU_COUNT(&p.here), 1);
		assert_affinity(b->caller, &p.here);
		placement_end(&p, b->caller, confined);
		assert_affinity(b->caller, &b->all);
		assert_affinity(0, &p.here);
	}
	placement_leave(&p);
	assert_affinity(0, &b->all);
}

static void a_spell_ends(void **state)
{
	struct both *b = *state;
	needs_two(b);
	struct placement p = { 0 };
	far_wake(&p, b->caller);
	unsigned spell = p.narrow_left;
	assert_in_range(spell, 1, 10000);
	for (unsigned i = 0; i < spell; i++) {
		bool confined = placement_begin(&p, b->caller);
		assert_true(confined);
		placement_end(&p, b->caller, confined);
	}
	assert_affinity(0, &b->all);
	assert_false(placement_begin(&p, b->caller));
}

static void what_is_set_meanwhile_stays(void **state)
{
	struct both *b = *state;
	needs_two(b);
	struct placement p = { 0 };
	far_wake(&p, b->caller);
	bool confined = placement_begin(&p, b->caller);
	assert_true(confined);
	cpu_set_t others;
	CPU_XOR(&others, &b->all, &p.here);
	assert_int_equal(sched_setaffinity(b->caller, sizeof(others), &others), 0);
	placement_end(&p, b->caller, confined);
	assert_affinity(b->caller, &others);
	placement_leave(&p);
	assert_affinity(0, &b->all);
}

static void who_is_confined_already_is_left_alone(void **state)
{
	struct both *b = *state;
	needs_two(b);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &b->all))
			continue;
		cpu_set_t one;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(b->caller, sizeof(one), &one), 0);
		struct placement p = { 0 };
		far_wake(&p, b->caller);
		bool confined = placement_begin(&p, b->caller);
		assert_false(confined);
		assert_affinity(0, &b->all);
		placement_end(&p, b->caller, confined);
		assert_affinity(b->caller, &one);
	}
}

static void where_it_does_not_help_it_rests(void **state)
{
	struct both *b = *state;
	needs_two(b);
	struct placement p = { 0 };
	unsigned narrowed = 0;
	for (int i = 0; i < 100; i++) {
		bool confined = placement_begin(&p, b->caller);
		narrowed += confined ? 1 : 0;
		usleep(FAR_US);
		placement_end(&p, b->caller, confined);
	}
	assert_in_range(narrowed, 1, 10);
	assert_affinity(b->caller, &b->all);
}

static void of_the_dead_nothing_is_left(void **state)
{
	struct both *b = *state;
	needs_two(b);
	struct placement p = { 0 };
	far_wake(&p, b->caller);
	bool confined = placement_begin(&p, b->caller);
	assert_true(confined);
	kill(b->caller, SIGKILL);
	waitpid(b->caller, NULL, 0);
	placement_end(&p, b->caller, confined);
	confined = placement_begin(&p, b->caller);
	assert_false(confined);
	placement_end(&p, b->caller, confined);
	assert_affinity(0, &b->all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_first_wake_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(after_a_far_wake_the_next_are_near, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_spell_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_set_meanwhile_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_confined_already_is_left_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(where_it_does_not_help_it_rests, setup, teardown),
		cmocka_unit_test_setup_teardown(of_the_dead_nothing_is_left, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
