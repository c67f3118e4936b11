#include "net/inspect/pg_tree.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <string.h>

typedef PgQuery__Node Node;

/*
 * Nodes that are statements. One that is not here, and whose name ends in Stmt,
 * defines something: what newer grammars bring is a write until it is known.
 */
/* clang-format off */
static const struct {
	const ProtobufCMessageDescriptor *type;
	uint32_t flags;
} statements[] = {
	{ &pg_query__select_stmt__descriptor,            STATEMENT_READ },
	{ &pg_query__insert_stmt__descriptor,            STATEMENT_WRITE },
	{ &pg_query__update_stmt__descriptor,            STATEMENT_WRITE },
	{ &pg_query__merge_stmt__descriptor,             STATEMENT_WRITE },
	{ &pg_query__delete_stmt__descriptor,            STATEMENT_DELETE },
	{ &pg_query__truncate_stmt__descriptor,          STATEMENT_DESTROY },
	{ &pg_query__drop_stmt__descriptor,              STATEMENT_DESTROY },
	{ &pg_query__dropdb_stmt__descriptor,            STATEMENT_DESTROY },
	{ &pg_query__drop_role_stmt__descriptor,         STATEMENT_DESTROY },
	{ &pg_query__drop_owned_stmt__descriptor,        STATEMENT_DESTROY },
	{ &pg_query__drop_table_space_stmt__descriptor,  STATEMENT_DESTROY },
	{ &pg_query__drop_subscription_stmt__descriptor, STATEMENT_DESTROY },
	{ &pg_query__drop_user_mapping_stmt__descriptor, STATEMENT_DESTROY },
	{ &pg_query__explain_stmt__descriptor,           STATEMENT_READ },
	{ &pg_query__fetch_stmt__descriptor,             STATEMENT_READ },
	{ &pg_query__declare_cursor_stmt__descriptor,    STATEMENT_READ },
	{ &pg_query__variable_set_stmt__descriptor,      STATEMENT_SESSION },
	{ &pg_query__variable_show_stmt__descriptor,     STATEMENT_SESSION },
	{ &pg_query__transaction_stmt__descriptor,       STATEMENT_SESSION },
	{ &pg_query__constraints_set_stmt__descriptor,   STATEMENT_SESSION },
	{ &pg_query__prepare_stmt__descriptor,           STATEMENT_SESSION },
	{ &pg_query__execute_stmt__descriptor,           STATEMENT_SESSION },
	{ &pg_query__deallocate_stmt__descriptor,        STATEMENT_SESSION },
	{ &pg_query__discard_stmt__descriptor,           STATEMENT_SESSION },
	{ &pg_query__close_portal_stmt__descriptor,      STATEMENT_SESSION },
	{ &pg_query__listen_stmt__descriptor,            STATEMENT_SESSION },
	{ &pg_query__unlisten_stmt__descriptor,          STATEMENT_SESSION },
	{ &pg_query__raw_stmt__descriptor,               0 },
	{ &pg_query__copy_stmt__descriptor,              0 }, /* by its direction */
	{ &pg_query__lock_stmt__descriptor,              0 }, /* by its mode */
	{ &pg_query__notify_stmt__descriptor,            STATEMENT_WRITE },
	{ &pg_query__do_stmt__descriptor,                STATEMENT_UNKNOWN | STATEMENT_WRITE },
	{ &pg_query__call_stmt__descriptor,              STATEMENT_UNKNOWN | STATEMENT_WRITE },
	{ &pg_query__load_stmt__descriptor,              STATEMENT_OUTSIDE | STATEMENT_ADMIN },
	{ &pg_query__check_point_stmt__descriptor,       STATEMENT_ADMIN },
	{ &pg_query__alter_system_stmt__descriptor,      STATEMENT_ADMIN | STATEMENT_DEFINE },
	{ &pg_query__vacuum_stmt__descriptor,            STATEMENT_WRITE },
};

/* Functions of the server, and of what is shipped with it, that do more than compute. */
static const struct {
	const char *name;
	uint32_t flags;
} functions[] = {
	{ "dblink",                         STATEMENT_OUTSIDE | STATEMENT_UNKNOWN },
	{ "dblink_connect",                 STATEMENT_OUTSIDE },
	{ "dblink_connect_u",               STATEMENT_OUTSIDE },
	{ "dblink_exec",                    STATEMENT_OUTSIDE | STATEMENT_WRITE },
	{ "dblink_open",                    STATEMENT_OUTSIDE | STATEMENT_UNKNOWN },
	{ "dblink_send_query",              STATEMENT_OUTSIDE | STATEMENT_UNKNOWN },
	{ "lo_creat",                       STATEMENT_WRITE },
	{ "lo_create",                      STATEMENT_WRITE },
	{ "lo_export",                      STATEMENT_OUTSIDE | STATEMENT_WRITE },
	{ "lo_from_bytea",                  STATEMENT_WRITE },
	{ "lo_import",                      STATEMENT_OUTSIDE | STATEMENT_WRITE },
	{ "lo_open",                        STATEMENT_UNKNOWN },
	{ "lo_put",                         STATEMENT_WRITE },
	{ "lo_truncate",                    STATEMENT_WRITE },
	{ "lo_truncate64",                  STATEMENT_WRITE },
	{ "lo_unlink",                      STATEMENT_DELETE },
	{ "lowrite",                        STATEMENT_WRITE },
	{ "nextval",                        STATEMENT_WRITE },
	{ "setval",                         STATEMENT_WRITE },
	{ "pg_notify",                      STATEMENT_WRITE },
	{ "pg_logical_emit_message",        STATEMENT_WRITE },
	{ "pg_logical_slot_get_changes",    STATEMENT_WRITE },
	{ "pg_logical_slot_get_binary_changes", STATEMENT_WRITE },
	{ "pg_import_system_collations",    STATEMENT_DEFINE },
	{ "pg_file_rename",                 STATEMENT_OUTSIDE | STATEMENT_WRITE },
	{ "pg_file_unlink",                 STATEMENT_OUTSIDE | STATEMENT_DELETE },
	{ "pg_file_write",                  STATEMENT_OUTSIDE | STATEMENT_WRITE },
	{ "pg_ls_dir",                      STATEMENT_OUTSIDE },
	{ "pg_read_binary_file",            STATEMENT_OUTSIDE },
	{ "pg_read_file",                   STATEMENT_OUTSIDE },
	{ "pg_stat_file",                   STATEMENT_OUTSIDE },
	{ "pg_backup_start",                STATEMENT_ADMIN },
	{ "pg_backup_stop",                 STATEMENT_ADMIN },
	{ "pg_cancel_backend",              STATEMENT_ADMIN },
	{ "pg_terminate_backend",           STATEMENT_ADMIN },
	{ "pg_copy_logical_replication_slot", STATEMENT_ADMIN },
	{ "pg_copy_physical_replication_slot", STATEMENT_ADMIN },
	{ "pg_create_logical_replication_slot", STATEMENT_ADMIN },
	{ "pg_create_physical_replication_slot", STATEMENT_ADMIN },
	{ "pg_create_restore_point",        STATEMENT_ADMIN },
	{ "pg_drop_replication_slot",       STATEMENT_ADMIN },
	{ "pg_log_backend_memory_contexts", STATEMENT_ADMIN },
	{ "pg_promote",                     STATEMENT_ADMIN },
	{ "pg_reload_conf",                 STATEMENT_ADMIN },
	{ "pg_replication_origin_create",   STATEMENT_ADMIN },
	{ "pg_replication_origin_drop",     STATEMENT_ADMIN },
	{ "pg_replication_slot_advance",    STATEMENT_ADMIN },
	{ "pg_rotate_logfile",              STATEMENT_ADMIN },
	{ "pg_stat_reset",                  STATEMENT_ADMIN },
	{ "pg_switch_wal",                  STATEMENT_ADMIN },
	{ "pg_wal_replay_pause",            STATEMENT_ADMIN },
	{ "pg_wal_replay_resume",           STATEMENT_ADMIN },
	/* run a text of their own */
	{ "query_to_xml",                   STATEMENT_UNKNOWN },
	{ "query_to_xml_and_xmlschema",     STATEMENT_UNKNOWN },
	{ "query_to_xmlschema",             STATEMENT_UNKNOWN },
	{ "cursor_to_xml",                  STATEMENT_UNKNOWN },
	{ "crosstab",                       STATEMENT_UNKNOWN },
	{ "connectby",                      STATEMENT_UNKNOWN },
	{ "ts_stat",                        STATEMENT_UNKNOWN },
	{ "ts_rewrite",                     STATEMENT_UNKNOWN },
	{ "xpath_table",                    STATEMENT_UNKNOWN },
};
/* clang-format on */

static void name_put(struct wire_statement *st, char names[][STATEMENT_NAME_SIZE], unsigned *count,
		     const char *name)
{
	if (*count == STATEMENT_NAMES || strlen(name) >= STATEMENT_NAME_SIZE) {
		st->flags |= STATEMENT_UNKNOWN;
		return;
	}
	memcpy(names[(*count)++], name, strlen(name) + 1);
}

/* "WHERE true" and "WHERE 1 = 1" are no WHERE. */
static bool selects(const Node *where)
{
	if (!where || where->node_case == PG_QUERY__NODE__NODE_A_CONST)
		return false;
	if (where->node_case != PG_QUERY__NODE__NODE_A_EXPR)
		return true;
	const PgQuery__AExpr *e = where->a_expr;
	return !e->lexpr || !e->rexpr || e->lexpr->node_case != PG_QUERY__NODE__NODE_A_CONST ||
	       e->rexpr->node_case != PG_QUERY__NODE__NODE_A_CONST;
}

static uint32_t function(const PgQuery__FuncCall *f)
{
	const Node *last = f->n_funcname ? f->funcname[f->n_funcname - 1] : NULL;

	if (!last || last->node_case != PG_QUERY__NODE__NODE_STRING)
		return STATEMENT_UNKNOWN;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strcmp(functions[i].name, last->string->sval) == 0)
			return functions[i].flags;
	return 0;
}

static bool runs(const PgQuery__ExplainStmt *e)
{
	for (size_t i = 0; i < e->n_options; i++) {
		const Node *o = e->options[i];
		if (o->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
		    strcmp(o->def_elem->defname, "analyze") == 0)
			return true;
	}
	return false;
}

static uint32_t copy(const PgQuery__CopyStmt *c)
{
	uint32_t flags = c->is_from ? STATEMENT_WRITE : STATEMENT_READ;

	if (c->is_program || *c->filename)
		flags |= STATEMENT_OUTSIDE;
	return flags;
}

/* What hangs on more than the node's type. */
static uint32_t particular(const ProtobufCMessage *m, struct wire_statement *st)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const void *p = m;

	if (d == &pg_query__select_stmt__descriptor)
		return ((const PgQuery__SelectStmt *)p)->into_clause ? STATEMENT_DEFINE : 0;
	if (d == &pg_query__update_stmt__descriptor)
		return selects(((const PgQuery__UpdateStmt *)p)->where_clause) ? 0
									       : STATEMENT_ALL_ROWS;
	if (d == &pg_query__delete_stmt__descriptor)
		return selects(((const PgQuery__DeleteStmt *)p)->where_clause) ? 0
									       : STATEMENT_ALL_ROWS;
	if (d == &pg_query__copy_stmt__descriptor)
		return copy(p);
	if (d == &pg_query__lock_stmt__descriptor) /* ACCESS SHARE is what reading takes */
		return ((const PgQuery__LockStmt *)p)->mode == 1 ? STATEMENT_READ : STATEMENT_WRITE;
	if (d == &pg_query__prepare_stmt__descriptor)
		name_put(st, st->prepares, &st->prepares_count,
			 ((const PgQuery__PrepareStmt *)p)->name);
	if (d == &pg_query__execute_stmt__descriptor)
		name_put(st, st->executes, &st->executes_count,
			 ((const PgQuery__ExecuteStmt *)p)->name);
	return 0;
}

static uint32_t of_type(const ProtobufCMessageDescriptor *d)
{
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (statements[i].type == d)
			return statements[i].flags;
	return STATEMENT_DEFINE;
}

static bool is_statement(const ProtobufCMessageDescriptor *d)
{
	size_t len = strlen(d->short_name);

	return len > 4 && memcmp(d->short_name + len - 4, "Stmt", 4) == 0;
}

/* What a node says of itself. False: what it holds is not executed. */
static bool visit(const ProtobufCMessage *m, struct wire_statement *st)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const void *p = m;

	if (d == &pg_query__func_call__descriptor)
		st->flags |= function(p);
	if (!is_statement(d))
		return true;
	st->flags |= of_type(d) | particular(m, st);
	return d != &pg_query__explain_stmt__descriptor || runs(p);
}

static void walk(const ProtobufCMessage *m, struct wire_statement *st);

static void walk_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		       struct wire_statement *st)
{
	const char *base = (const char *)m;
	const void *at = base + f->offset, *count = base + f->quantifier_offset;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		ProtobufCMessage *const *list = *(ProtobufCMessage *const *const *)at;

		for (size_t i = 0; i < *(const size_t *)count; i++)
			walk(list[i], st);
	} else {
		walk(*(ProtobufCMessage *const *)at, st);
	}
}

static void walk(const ProtobufCMessage *m, struct wire_statement *st)
{
	if (!m || !visit(m, st))
		return;
	const ProtobufCMessageDescriptor *d = m->descriptor;
	if (d == &pg_query__node__descriptor) { /* one of some 250 */
		const Node *n = (const void *)m;
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field(d, (unsigned)n->node_case);

		if (f)
			walk_field(m, f, st);
	} else if (d == &pg_query__a__const__descriptor) {
		return; /* a union too, of values */
	} else {
		for (unsigned i = 0; i < d->n_fields; i++)
			walk_field(m, &d->fields[i], st);
	}
}

void pg_tree_classify(void *ctx, const char *text, size_t len, struct wire_statement *ret)
{
	(void)ctx;
	statement_words(text, len, ret);
	if (len > PG_TREE_TEXT_MAX)
		return;
	PgQueryProtobufParseResult r = pg_query_parse_protobuf(text);
	PgQuery__ParseResult *tree = NULL;
	if (!r.error)
		tree = pg_query__parse_result__unpack(NULL, r.parse_tree.len,
						      (const uint8_t *)r.parse_tree.data);
	if (tree) {
		*ret = (struct wire_statement){ .flags = tree->n_stmts ? 0 : STATEMENT_SESSION };
		walk(&tree->base, ret);
		pg_query__parse_result__free_unpacked(tree, NULL);
	}
	pg_query_free_protobuf_parse_result(r);
}
