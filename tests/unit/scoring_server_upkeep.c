/* The server's store is tidied at the start and again, round after round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/upkeep.h"

enum { PATIENCE_MS = 60 * 1000, ROUND_MS = 50 };

struct place {
	struct store *store;
	struct metrics *metrics;
	char dir[32], path[48];
};

static int set_up(void **state)
{
	static struct place p = { .dir = "/tmp/vsandbox-upkeep-XXXXXX" };
	struct err err;
	if (!mkdtemp(p.dir))
		return -1;
	snprintf(p.path, sizeof(p.path), "%s/store.db", p.dir);
	p.metrics = metrics_new();
	*state = &p;
	return p.metrics ? store_open(p.path, &p.store, &err) : -1;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char name[64];
	store_close(p->store);
	metrics_free(p->metrics);
	for (const char *const *end = (const char *const[]){ "", "-wal", "-shm", NULL }; *end;
	     end++) {
		snprintf(name, sizeof(name), "%s%s", p->path, *end);
		unlink(name);
	}
	return rmdir(p->dir);
}

static int64_t run_script(struct db *db, void *arg, struct err *err)
{
	return db_script(db, arg, err);
}

static void run(const struct place *p, char *script)
{
	struct err err;
	assert_int_equal(store_write(p->store, run_script, script, &err), 0);
}

static int take(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

static int64_t count(struct db *db, void *arg, struct err *err)
{
	int64_t rows = -1;
	const char *sql = arg;
	int64_t n = db_query(db, sql, NULL, 0, take, &rows, err);
	return n < 0 ? n : rows;
}

/* 0 once nothing is left, or what was left when patience was over. */
static int64_t left(const struct place *p, char *sql)
{
	struct err err;
	uint64_t end = clock_ms() + PATIENCE_MS;
	int64_t n;
	while ((n = store_read(p->store, count, sql, &err)) != 0 && clock_ms() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000000 }, NULL);
	return n;
}

static void what_grows_old_later_goes_too(void **state)
{
	static char old_feed[] = "INSERT INTO feed(id, kind, body) VALUES (1, 'k', '{}')";
	static char over[] = "INSERT INTO logins(hash, key_id, until) VALUES ('h', 'k', 1)";
	static char feed[] = "SELECT count(*) FROM feed", logins[] = "SELECT count(*) FROM logins";
	const struct place *p = *state;
	run(p, old_feed);
	run(p, over);
	struct upkeep *u = upkeep_new(0, ROUND_MS, p->store, p->metrics);
	assert_non_null(u);
	assert_int_equal(left(p, feed), 0); /* the last of a round: it is past the logins */
	assert_int_equal(left(p, logins), 0);
	run(p, over);
	assert_int_equal(left(p, logins), 0);
	run(p, old_feed);
	assert_int_equal(left(p, feed), 0);
	upkeep_stop(u);
	run(p, over);
	struct err err;
	nanosleep(&(struct timespec){ .tv_nsec = 4 * ROUND_MS * 1000000L }, NULL);
	assert_int_equal(store_read(p->store, count, logins, &err), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_grows_old_later_goes_too, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
