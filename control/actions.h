/* The log of actions, as clients posted them and the evaluator saw them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/agents.h"
#include "control/page.h"

enum { BREAKDOWN_SIZE = 512, REASON_SIZE = 400, KIND_SIZE = 448 };

/* One action. Strings are borrowed; NULL: not given. */
struct record {
	char agent[AGENT_ID_SIZE]; /* the agent's UUID */
	const char *session, *client_id;
	const char *type, *resource;
	const char *payload, *snapshot, *metadata; /* JSON texts */
	const char *source;
	double risk;
	char breakdown[BREAKDOWN_SIZE]; /* JSON text */
	const char *decision;           /* ALLOW ALERT PAUSE ROLLBACK BLOCK */
	bool flagged;
	char reason[REASON_SIZE];
	char kind[KIND_SIZE]; /* of the alert, where it is flagged */
	int64_t at;           /* the client's clock, microseconds */
	int64_t id;           /* given by record_append; of the first one when it is a repetition */
	bool duplicate;       /* this client id was logged before */
};

/*
 * Appends @count records in order, keeps counters and daily sums, and opens alerts for the flagged
 * ones, counted together for @window_us (alerts.h). To be run inside store_write.
 */
int record_append(struct db *db, struct record *records, unsigned count, int64_t window_us,
		  struct err *err);

struct record_filter {
	const char *agent, *session, *type, *decision; /* NULL: any; agent by UUID */
	int64_t since_us;                              /* 0: any */
	struct page page;                              /* by id; of a session by time */
};
/*
 * As the API shows them, newest first: as they arrived, and those of one session by its client's clock, since clients
 * post out of order.
 */
int64_t record_list(struct db *db, const struct record_filter *f, struct json_object *list,
		    struct err *err);

/* Those with @after < id < @until, oldest first. */
int64_t record_between(struct db *db, int64_t after, int64_t until, int64_t limit,
		       struct json_object *list, struct err *err);
