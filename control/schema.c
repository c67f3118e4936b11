#include "control/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "control/ids.h"

/*
 * @S and @P begin lines for one of the two only; @BLOB, @REAL are its names of types. Times are microseconds since
 * 1970, lists and objects JSON text, ids of actions as in ids.h.
 */
static const char *const migrations[] = {
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value BIGINT NOT NULL);\n"
	"INSERT INTO meta VALUES ('policies_version', 1);\n"
	"CREATE TABLE nodes(id BIGINT PRIMARY KEY, owner TEXT NOT NULL, until BIGINT NOT NULL);\n"
	"CREATE TABLE keys(id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
	" hash @BLOB NOT NULL UNIQUE, created_at BIGINT NOT NULL, last_used_at BIGINT,"
	" revoked_at BIGINT);\n"
	"CREATE TABLE agents(id TEXT PRIMARY KEY, agent_id TEXT NOT NULL UNIQUE, name TEXT NOT "
	"NULL,"
	" kill_switch_mode TEXT NOT NULL, paused BIGINT NOT NULL DEFAULT 0,"
	" terminated BIGINT NOT NULL DEFAULT 0, allowed_action_types TEXT, allowed_resources TEXT,"
	" blocked_resources TEXT, max_actions_per_minute BIGINT, max_risk_score @REAL,"
	" version BIGINT NOT NULL DEFAULT 1, created_at BIGINT NOT NULL, updated_at BIGINT NOT "
	"NULL,"
	" last_seen_at BIGINT, actions BIGINT NOT NULL DEFAULT 0, flagged BIGINT NOT NULL DEFAULT "
	"0,"
	" rolled_back BIGINT NOT NULL DEFAULT 0, allowed BIGINT NOT NULL DEFAULT 0,"
	" risk_sum @REAL NOT NULL DEFAULT 0);\n"
	"@S CREATE TABLE actions(id INTEGER PRIMARY KEY,\n"
	"@P CREATE TABLE actions(id BIGINT NOT NULL PRIMARY KEY,\n"
	" agent TEXT NOT NULL, session_id TEXT, action_id TEXT, type TEXT NOT NULL,"
	" resource TEXT NOT NULL, payload TEXT, snapshot TEXT, metadata TEXT, source TEXT,"
	" risk @REAL NOT NULL, breakdown TEXT NOT NULL, decision TEXT NOT NULL,"
	" flagged BIGINT NOT NULL, flag_reason TEXT, at BIGINT NOT NULL,"
	" rolled_back BIGINT NOT NULL DEFAULT 0)\n"
	"@P PARTITION BY RANGE (id)\n"
	";\n"
	"CREATE INDEX actions_agent ON actions(agent, id);\n"
	"CREATE INDEX actions_session ON actions(session_id, id);\n"
	"CREATE TABLE action_keys(agent TEXT NOT NULL, session_id TEXT NOT NULL,"
	" action_id TEXT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY(agent, session_id, "
	"action_id));\n"
	"CREATE INDEX action_keys_id ON action_keys(id);\n"
	"CREATE TABLE daily(day BIGINT NOT NULL, agent TEXT NOT NULL, type TEXT NOT NULL,"
	" decision TEXT NOT NULL, level TEXT NOT NULL, count BIGINT NOT NULL,"
	" PRIMARY KEY(day, agent, type, decision, level));\n"
	"CREATE TABLE alerts(id BIGINT PRIMARY KEY, agent TEXT NOT NULL, action BIGINT,"
	" level TEXT NOT NULL, message TEXT NOT NULL, source TEXT, acknowledged BIGINT NOT NULL "
	"DEFAULT 0,"
	" acknowledged_by TEXT, created_at BIGINT NOT NULL);\n"
	"CREATE INDEX alerts_open ON alerts(acknowledged, id);\n"
	"CREATE TABLE policies(id TEXT PRIMARY KEY, name TEXT NOT NULL, action_type TEXT,"
	" resource_pattern TEXT, effect TEXT NOT NULL, max_risk_score @REAL,"
	" priority BIGINT NOT NULL, time_start TEXT, time_end TEXT, days_allowed TEXT,"
	" enabled BIGINT NOT NULL DEFAULT 1, created_at BIGINT NOT NULL, updated_at BIGINT NOT "
	"NULL);\n"
	"CREATE TABLE sessions(id TEXT PRIMARY KEY, agent TEXT NOT NULL, host TEXT NOT NULL,"
	" key_id TEXT NOT NULL,"
	" state TEXT NOT NULL, policy TEXT, mode TEXT, command TEXT, started_at BIGINT NOT NULL,"
	" seen_at BIGINT NOT NULL, ended_at BIGINT, exit_code BIGINT, info TEXT, changes TEXT);\n"
	"CREATE INDEX sessions_agent ON sessions(agent, started_at);\n"
	"CREATE TABLE approvals(id BIGINT PRIMARY KEY, session_id TEXT NOT NULL, agent TEXT NOT "
	"NULL,"
	" request_id TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL, scope TEXT, reason "
	"TEXT, decided_by TEXT,"
	" created_at BIGINT NOT NULL, decided_at BIGINT, UNIQUE(session_id, request_id));\n"
	"CREATE TABLE commands(id BIGINT PRIMARY KEY, session_id TEXT NOT NULL, kind TEXT NOT NULL,"
	" body TEXT NOT NULL, state TEXT NOT NULL, result TEXT, created_at BIGINT NOT NULL, "
	"done_at BIGINT);\n"
	"CREATE INDEX commands_open ON commands(session_id, state);\n"
	"CREATE TABLE rollbacks(id BIGINT PRIMARY KEY, agent TEXT NOT NULL, session_id TEXT,"
	" n_actions BIGINT NOT NULL, action_ids TEXT NOT NULL, message TEXT NOT NULL, reason TEXT,"
	" initiated_by TEXT, created_at BIGINT NOT NULL);\n"
	"CREATE TABLE feed(id BIGINT PRIMARY KEY, kind TEXT NOT NULL, agent TEXT, body TEXT NOT "
	"NULL);\n"
	"CREATE TABLE audit(id BIGINT PRIMARY KEY, key_id TEXT NOT NULL, what TEXT NOT NULL,"
	" detail TEXT NOT NULL, at BIGINT NOT NULL);\n",
	/* people who logged in with a key, by the hash of their cookie */
	"CREATE TABLE logins(hash @BLOB PRIMARY KEY, key_id TEXT NOT NULL, until BIGINT NOT "
	"NULL);\n",
	/* one row: up to which alert the webhook has them, and which server sends them until when */
	"CREATE TABLE webhooks(id BIGINT PRIMARY KEY, delivered BIGINT NOT NULL, owner TEXT NOT "
	"NULL,"
	" until BIGINT NOT NULL);\n",
	/* one alert for many actions; a row for each carrier of alerts, with how far it told their counts */
	"ALTER TABLE alerts ADD COLUMN session_id TEXT;\n"
	"ALTER TABLE alerts ADD COLUMN kind TEXT;\n"
	"ALTER TABLE alerts ADD COLUMN count BIGINT NOT NULL DEFAULT 1;\n"
	"ALTER TABLE alerts ADD COLUMN last_at BIGINT;\n"
	"CREATE INDEX alerts_kind ON alerts(agent, kind, id);\n"
	"CREATE INDEX alerts_repeated ON alerts(id) WHERE count > 1;\n"
	"ALTER TABLE webhooks RENAME TO outboxes;\n"
	"ALTER TABLE outboxes ADD COLUMN repeated BIGINT NOT NULL DEFAULT 0;\n"
	"UPDATE outboxes SET repeated = delivered;\n",
	/* a session's actions in the order of its client's clock */
	"CREATE INDEX actions_session_at ON actions(session_id, at, id);\n"
	"DROP INDEX actions_session;\n",
};

enum { MIGRATIONS = sizeof(migrations) / sizeof(migrations[0]) };

/* A migration in the words of one database. Owned by the caller. */
static char *translate(const char *text, enum db_kind kind)
{
	char *out = malloc(strlen(text) * 2 + 1), *to = out;
	if (!out)
		return NULL;
	while (*text) {
		if (strncmp(text, "@S ", 3) == 0 || strncmp(text, "@P ", 3) == 0) {
			bool ours = (text[1] == 'S') == (kind == DB_SQLITE);
			text += 3;
			if (!ours)
				text += strcspn(text, "\n");
		} else if (strncmp(text, "@BLOB", 5) == 0) {
			to = stpcpy(to, kind == DB_SQLITE ? "BLOB" : "BYTEA");
			text += 5;
		} else if (strncmp(text, "@REAL", 5) == 0) {
			to = stpcpy(to, kind == DB_SQLITE ? "REAL" : "DOUBLE PRECISION");
			text += 5;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
	return out;
}

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

static int migrate_from(struct db *db, int64_t version, struct err *err)
{
	for (; version < MIGRATIONS; version++) {
		cleanup_free char *script = translate(migrations[version], db_kind(db));
		if (!script)
			return err_set(err, ENOMEM, "database: out of memory");
		int r = db_script(db, script, err);
		if (r < 0)
			return r;
		int64_t n = db_run(db, err, "UPDATE schema_version SET version = $1",
				   db_i(version + 1));
		if (n < 0)
			return (int)n;
	}
	return 0;
}

int schema_migrate(struct db *db, struct err *err)
{
	int64_t version = -1;
	/* Two servers that start at once: the second waits for the first one's transaction. */
	int r = db_script(db, "CREATE TABLE IF NOT EXISTS schema_version(version BIGINT NOT NULL)",
			  err);
	if (r < 0)
		return r;
	r = db_begin(db, err);
	if (r == 0 && db_kind(db) == DB_POSTGRES)
		r = db_script(db, "LOCK TABLE schema_version IN EXCLUSIVE MODE", err);
	int64_t n = r;
	if (r == 0)
		n = db_query(db, "SELECT version FROM schema_version", NULL, 0, take_int, &version,
			     err);
	if (n == 0) {
		version = 0;
		n = db_query(db, "INSERT INTO schema_version VALUES (0)", NULL, 0, NULL, NULL, err);
	}
	if (n > 0 && version > MIGRATIONS)
		n = err_set(err, EPROTO,
			    "the database has schema %" PRId64 ", this program knows up to %d",
			    version, (int)MIGRATIONS);
	if (n > 0)
		n = migrate_from(db, version, err);
	if (n < 0) {
		db_rollback(db);
		return (int)n;
	}
	return db_commit(db, err);
}

static const int64_t day_us = 86400LL * 1000000;

/* Any numbers that are nobody else's in this database. */
static const int64_t upkeep_lock = 0x7673616e64, partition_lock = 0x7673616e65;

static int has_table(struct db *db, const char *name, struct err *err)
{
	int64_t there = 0;
	int64_t n =
		db_each(db, err, take_int, &there,
			"SELECT CASE WHEN to_regclass($1) IS NULL THEN 0 ELSE 1 END", db_t(name));
	return n < 0 ? (int)n : there != 0;
}

int schema_partitions(struct db *db, int64_t now_us, struct err *err)
{
	if (db_kind(db) != DB_POSTGRES)
		return 0;
	for (int64_t day = now_us / day_us - 1; day <= now_us / day_us + 2; day++) {
		char sql[320], name[32];
		snprintf(name, sizeof(name), "actions_%" PRId64, day);
		int r = has_table(db, name, err);
		/*
		 * IF NOT EXISTS looks before it waits for actions, and fails when another made it meanwhile, which would end
		 * our caller's transaction: so by turns. Both statements are one transaction also where there is none.
		 */
		snprintf(sql, sizeof(sql),
			 "SELECT pg_advisory_xact_lock(%" PRId64 ");"
			 "CREATE TABLE IF NOT EXISTS %s"
			 " PARTITION OF actions FOR VALUES FROM (%" PRId64 ") TO (%" PRId64 ")",
			 partition_lock, name, ids_at(day * day_us), ids_at((day + 1) * day_us));
		if (r == 0)
			r = db_script(db, sql, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int64_t schema_alone(struct db *db, struct err *err)
{
	int64_t got = 0;
	if (db_kind(db) != DB_POSTGRES)
		return 1;
	/* one that waits would make deadlocks with others' writes */
	int64_t n = db_each(db, err, take_int, &got,
			    "SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN 1 ELSE 0 END",
			    db_i(upkeep_lock));
	return n < 0 ? n : got;
}

/* The number of the oldest day that has a table. -ENOENT: none has. */
static int64_t oldest_day(struct db *db, struct err *err)
{
	int64_t day = 0;
	int64_t n = db_each(db, err, take_int, &day,
			    "SELECT CAST(substr(c.relname, 9) AS BIGINT) AS day FROM pg_inherits i"
			    " JOIN pg_class c ON c.oid = i.inhrelid"
			    " WHERE i.inhparent = 'actions'::regclass"
			    " AND c.relname ~ '^actions_[0-9]+$' ORDER BY day LIMIT $1",
			    db_i(1));
	return n == 0 ? -ENOENT : n < 0 ? n : day;
}

int64_t schema_drop_day(struct db *db, int64_t before, struct err *err)
{
	char sql[160];
	int64_t day = oldest_day(db, err);
	if (day < 0)
		return day == -ENOENT ? 0 : day;
	if (ids_at((day + 1) * day_us) > before)
		return 0;
	/*
	 * It waits for whoever reads or writes actions, and all that come later wait for it: better to fail soon than to
	 * hold them up. It is less than the second after which PostgreSQL looks for deadlocks, whose end could be
	 * another's write. Others' writes may follow in this transaction, and have their time.
	 */
	snprintf(sql, sizeof(sql),
		 "SET LOCAL lock_timeout = '900ms';"
		 "DROP TABLE actions_%" PRId64 ";"
		 "SET LOCAL lock_timeout = DEFAULT",
		 day);
	int r = db_script(db, sql, err);
	return r < 0 ? r : 1;
}
