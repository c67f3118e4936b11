/* Windows by a simulated clock; the baseline in memory and on disk. */
#include "tests/unit/scoring_actions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scoring/history_impl.h"
#include "scoring/sql.h"

static char dir[] = "/tmp/scoring_history.XXXXXX";
static int dirfd_ = -1;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlinkat(dirfd_, "agent.json", 0);
	close(dirfd_);
	return rmdir(dir);
}

static void put_file(const char *text, size_t len)
{
	int fd = openat(dirfd_, "agent.json", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static size_t get_file(char *text, size_t size)
{
	int fd = openat(dirfd_, "agent.json", O_RDONLY);
	ssize_t n = read(fd, text, size);

	assert_true(n > 0 && (size_t)n < size);
	close(fd);
	return (size_t)n;
}

static void test_window_counts_exactly_what_it_says(void **state)
{
	static const uint64_t span[] = { second_ns, 10 * second_ns, 60 * second_ns };
	static struct windows w;
	uint64_t start = 5000 * second_ns;

	(void)state;
	for (unsigned s = 0; s < WINDOW_COUNT; s++) {
		enum window_span sp = (enum window_span)s;

		for (uint64_t offset = 0; offset < span[s]; offset += span[s] / 97) {
			uint64_t at = start + offset;

			memset(&w, 0, sizeof(w));
			windows_note(&w, 1u << COUNTER_ALL, at);
			assert_int_equal(windows_count(&w, sp, COUNTER_ALL, at), 1);
			/* never misses one of the window … */
			assert_int_equal(windows_count(&w, sp, COUNTER_ALL, at + span[s] - 1), 1);
			/* … and keeps it one tick too long at most */
			assert_int_equal(windows_count(&w, sp, COUNTER_ALL,
						       at + span[s] + span[s] / WINDOW_TICKS),
					 0);
		}
	}
}

/* The ring must say what counting a list says, within one tick. */
static void test_window_equals_a_list(void **state)
{
	static struct windows w;
	static uint64_t at[4000];
	uint64_t now = 77 * second_ns;
	unsigned seed = 7;

	(void)state;
	memset(&w, 0, sizeof(w));
	for (unsigned i = 0; i < 4000; i++) {
		unsigned exact = 0, late = 0;

		seed = seed * 1103515245u + 12345u;
		now += (uint64_t)(seed >> 8) %
		       (i % 100 == 99 ? 30000 * (uint64_t)MS : 60 * (uint64_t)MS);
		at[i] = now;
		windows_note(&w, 1u << COUNTER_ALL, now);
		for (unsigned k = 0; k <= i; k++) {
			exact += now - at[k] < 10 * second_ns;
			late += now - at[k] < 10 * second_ns + 10 * second_ns / WINDOW_TICKS;
		}
		unsigned count = windows_count(&w, WINDOW_TEN, COUNTER_ALL, now);
		assert_true(count >= exact && count <= late);
	}
}

static void test_clock_that_steps_back_loses_nothing(void **state)
{
	struct history *h = history_new();
	struct action a = action_file(OP_READ, "/w/a", PROVENANCE_EXISTING);

	(void)state;
	history_note(h, &a, true);
	a.mono_ns -= 30 * second_ns;
	history_note(h, &a, true);
	assert_int_equal(history_minute(h, ACTION_NONE, a.mono_ns), 2);
	history_free(h);
}

static void test_minute_is_by_type(void **state)
{
	struct history *h = history_new();
	struct action r = action_file(OP_READ, "/w/a", PROVENANCE_EXISTING);
	struct action d = action_file(OP_DELETE, "/w/a", PROVENANCE_EXISTING);

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		history_note(h, &r, true);
	for (unsigned i = 0; i < 3; i++)
		history_note(h, &d, false);
	assert_int_equal(history_minute(h, ACTION_FILE_READ, r.mono_ns), 7);
	assert_int_equal(history_minute(h, ACTION_FILE_DELETE, r.mono_ns), 3);
	assert_int_equal(history_minute(h, ACTION_NONE, r.mono_ns), 10);
	assert_int_equal(history_minute(h, ACTION_NONE, r.mono_ns + 61 * second_ns), 0);
	history_free(h);
}

static void test_learns_from_allowed_only(void **state)
{
	struct history *h = history_new();
	struct action a = action_net("evil.example:443", true);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		history_note(h, &a, false);
	assert_int_equal(h->baseline.actions, 0);
	assert_int_equal(h->baseline.sets[BASELINE_HOSTS].count, 0);
	history_note(h, &a, true);
	assert_int_equal(h->baseline.actions, 1);
	assert_int_equal(h->baseline.sets[BASELINE_HOSTS].count, 1);
	history_free(h);
}

static void test_novelty_waits_for_fifty(void **state)
{
	struct history *h = history_new();
	struct action usual = action_net("api.example:443", true);
	struct action other = action_net("elsewhere.example:443", true);
	struct score s;

	(void)state;
	for (unsigned i = 0; i < BASELINE_MIN_ACTIONS - 1; i++)
		history_note(h, &usual, true);
	score_action(&other, h, &s);
	assert_true(s.x[DIMENSION_CONTEXT] <= 0);
	history_note(h, &usual, true);
	score_action(&other, h, &s);
	assert_true(s.x[DIMENSION_CONTEXT] >= .5f);
	assert_string_equal(s.why[DIMENSION_CONTEXT], "a host new to this agent");
	score_action(&usual, h, &s);
	assert_true(s.x[DIMENSION_CONTEXT] <= 0);
	/* and it is learned by being allowed once */
	history_note(h, &other, true);
	score_action(&other, h, &s);
	assert_true(s.x[DIMENSION_CONTEXT] <= 0);

	usual.wall_ns += 12 * 3600 * second_ns;
	score_action(&usual, h, &s);
	assert_string_equal(s.why[DIMENSION_CONTEXT], "an hour at which this agent never works");
	history_free(h);
}

static void test_full_set_calls_nothing_new(void **state)
{
	static struct baseline b;

	(void)state;
	memset(&b, 0, sizeof(b));
	for (uint64_t i = 1; i < 10 * BASELINE_SET_SIZE; i++)
		baseline_add(&b, BASELINE_DIRS, i * UINT64_C(0x9e3779b97f4a7c15));
	assert_true(b.sets[BASELINE_DIRS].count < BASELINE_SET_SIZE);
	assert_true(baseline_knows(&b, BASELINE_DIRS, 12345));
	/* chosen collisions cost no more than the probes allowed */
	for (uint64_t i = 1; i < BASELINE_SET_SIZE; i++)
		baseline_add(&b, BASELINE_HOSTS, i << 32);
	assert_true(b.sets[BASELINE_HOSTS].count < 64);
}

static void test_deviation_from_usual_size(void **state)
{
	struct history *h = history_new();
	struct action a = action_file(OP_READ, "/w/a", PROVENANCE_EXISTING);
	struct score s;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		a.size_bytes = 2000 + i * 50;
		history_note(h, &a, true);
	}
	score_action(&a, h, &s);
	assert_true(s.x[DIMENSION_PAYLOAD] <= 0);
	a.size_bytes = INT64_C(1) << 40;
	score_action(&a, h, &s);
	assert_true(s.x[DIMENSION_PAYLOAD] >= .39f);
	history_free(h);
}

static struct history *taught(void)
{
	struct history *h = history_new();
	struct action acts[] = {
		action_file(OP_READ, "/w/a/b", PROVENANCE_EXISTING),
		action_file(OP_CREATE, "/w/out/c", PROVENANCE_CREATED),
		action_exec("/usr/bin/gcc", PROVENANCE_SYSTEM, "gcc\0-c\0a.c"),
		action_net("api.example:443", true),
		action_sql(ACTION_DATABASE_QUERY, "select 1"),
	};

	for (unsigned i = 0; i < 40; i++) {
		for (size_t k = 0; k < sizeof(acts) / sizeof(acts[0]); k++) {
			acts[k].mono_ns += second_ns * 2;
			acts[k].size_bytes = 100 * (int64_t)i;
			history_note(h, &acts[k], true);
		}
	}
	return h;
}

static void test_baseline_round_trip(void **state)
{
	struct history *h = taught(), *again = history_new();
	struct err err = { "" };
	struct stat st;

	(void)state;
	assert_int_equal(history_save(h, dirfd_, "agent", &err), 0);
	assert_int_equal(fstatat(dirfd_, "agent.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(history_load(again, dirfd_, "agent", &err), 0);
	assert_int_equal(again->baseline.actions, 200);
	assert_memory_equal(again->baseline.by_type, h->baseline.by_type,
			    sizeof(h->baseline.by_type));
	assert_memory_equal(again->baseline.hours, h->baseline.hours, sizeof(h->baseline.hours));
	assert_memory_equal(again->baseline.size, h->baseline.size, sizeof(h->baseline.size));
	for (unsigned s = 0; s < BASELINE_SET_COUNT; s++) {
		assert_int_equal(again->baseline.sets[s].count, h->baseline.sets[s].count);
		for (unsigned i = 0; i < BASELINE_SET_SIZE; i++) {
			uint64_t hash = h->baseline.sets[s].slot[i];

			if (hash)
				assert_true(baseline_knows(&again->baseline, (enum baseline_set)s,
							   hash));
		}
	}
	assert_int_equal(history_save(again, dirfd_, "agent", &err), 0); /* replaces */
	history_free(h);
	history_free(again);
}

static void test_missing_is_empty(void **state)
{
	struct history *h = history_new();

	(void)state;
	assert_int_equal(history_load(h, dirfd_, "nobody", NULL), 0);
	assert_int_equal(h->baseline.actions, 0);
	history_free(h);
}

static void test_damage_is_told_and_teaches_nothing(void **state)
{
	static char good[65536], bad[65536];
	struct history *h = taught();
	size_t len;

	(void)state;
	assert_int_equal(history_save(h, dirfd_, "agent", NULL), 0);
	len = get_file(good, sizeof(good));
	history_free(h);
	/* cut anywhere */
	for (size_t cut = 0; cut < len; cut += 1 + cut / 40) {
		struct err err = { "" };

		put_file(good, cut);
		h = history_new();
		assert_int_equal(history_load(h, dirfd_, "agent", &err), -EBADMSG);
		assert_true(strlen(err.text) > 10);
		assert_int_equal(h->baseline.actions, 0);
		assert_int_equal(h->baseline.sets[BASELINE_DIRS].count, 0);
		history_free(h);
	}
	/* a byte changed anywhere: read or refused, never worse */
	for (size_t i = 0; i < len; i += 3) {
		memcpy(bad, good, len);
		bad[i] = (char)(bad[i] ^ 0x11);
		put_file(bad, len);
		h = history_new();
		int r = history_load(h, dirfd_, "agent", NULL);
		assert_true(r == 0 || r == -EBADMSG);
		history_free(h);
	}
	put_file("{\"version\":2}", 13);
	h = history_new();
	assert_int_equal(history_load(h, dirfd_, "agent", NULL), -EBADMSG);
	history_free(h);
}

static void test_agent_names_cannot_leave_the_directory(void **state)
{
	static const char *const names[] = { "", "..", "../x", "a/b", ".hidden" };
	struct history *h = history_new();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(history_load(h, dirfd_, names[i], NULL), -EINVAL);
		assert_int_equal(history_save(h, dirfd_, names[i], NULL), -EINVAL);
	}
	history_free(h);
}

static void test_fingerprints(void **state)
{
	(void)state;
	assert_true(sql_fingerprint("select * from t where id = 7") ==
		    sql_fingerprint("SELECT  *\nFROM t WHERE id=123 -- x"));
	assert_true(sql_fingerprint("select 1 where a in (1,2,3)") ==
		    sql_fingerprint("select 1 where a in ('x')"));
	assert_true(sql_fingerprint("select a from t") != sql_fingerprint("select b from t"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window_counts_exactly_what_it_says),
		cmocka_unit_test(test_window_equals_a_list),
		cmocka_unit_test(test_clock_that_steps_back_loses_nothing),
		cmocka_unit_test(test_minute_is_by_type),
		cmocka_unit_test(test_learns_from_allowed_only),
		cmocka_unit_test(test_novelty_waits_for_fifty),
		cmocka_unit_test(test_full_set_calls_nothing_new),
		cmocka_unit_test(test_deviation_from_usual_size),
		cmocka_unit_test(test_baseline_round_trip),
		cmocka_unit_test(test_missing_is_empty),
		cmocka_unit_test(test_damage_is_told_and_teaches_nothing),
		cmocka_unit_test(test_agent_names_cannot_leave_the_directory),
		cmocka_unit_test(test_fingerprints),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
