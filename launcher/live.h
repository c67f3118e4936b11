/* What a running session says of itself at this moment, asked through its control socket. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "launcher/session.h"

enum { LIVE_PATIENCE_MS = 250, LIVE_BUDGET_MS = 1000 };

struct live {
	bool known; /* it has answered; else nothing here is */
	bool paused, frozen;
	unsigned approvals; /* questions that wait for a person */
};

/*
 * Asks @s, for at most LIVE_PATIENCE_MS and what is left of @budget_ms, which is charged: a listing waits no
 * longer however many sessions are stopped. Nothing is known of one that does not run or does not answer.
 */
void live_ask(const struct session *s, unsigned *budget_ms, struct live *ret);
/* "paused", or the session's state. */
const char *live_state_name(const struct session *s, const struct live *live);
/* ,"live":{…} or ,"live":null: a member for --json. */
void live_json(const struct live *live, FILE *f);
