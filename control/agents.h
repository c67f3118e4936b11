/* Agents and their profiles. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/db.h"

struct json_object;
struct page;

enum { AGENT_ID_SIZE = 37, AGENT_HANDLE_MAX = 255 };

struct agent {
	char id[AGENT_ID_SIZE]; /* UUID */
	char *agent_id;         /* the client's own name for it; owned */
	char *name;             /* owned */
	char mode[16];          /* kill_switch_mode: alert, pause, rollback */
	bool paused, terminated;
	/* the profile; NULL or negative: not set. JSON texts, owned */
	char *allowed_types, *allowed, *blocked;
	int64_t rate;
	double max_risk;
	int64_t version; /* goes up with every change of what decides */
	int64_t created_at, updated_at, last_seen_at;
	int64_t actions, flagged, rolled_back, allowed_actions;
	double risk_sum;
};

/* By UUID or by agent_id. 0, -ENOENT, or as db_query. @ret is to be freed when 0 is returned. */
int agent_find(struct db *db, const char *handle, struct agent *ret, struct err *err);
void agent_free(struct agent *a);

/* The same, made with defaults where there is none: a first action registers its agent. Writes. */
int agent_touch(struct db *db, const char *agent_id, const char *name, struct agent *ret,
		struct err *err);
/* -EEXIST: there is one of that agent_id. Writes. */
int agent_create(struct db *db, const char *agent_id, const char *name, struct err *err);
/* Writes all that can be edited, version + 1. */
int agent_save(struct db *db, const struct agent *a, struct err *err);
/* 1 deleted, 0 there was none. */
int64_t agent_delete(struct db *db, const char *id, struct err *err);

/* The row as the API shows it; a new reference. */
struct json_object *agent_json(const struct agent *a);
/* Newest first, pages by created_at; into the JSON array @list. */
int64_t agent_list(struct db *db, const struct page *page, struct json_object *list,
		   struct err *err);

/* A random UUID, version 4. */
void uuid_make(char ret[static AGENT_ID_SIZE]);
