/*
 * The questions that wait for a person, as the gateway knows them: what the monitor tells
 * of held calls (MONITOR_HELD, MONITOR_SETTLED), kept to be listed, asked on the terminal, answered.
 *
 * The terminal. A prompt is shown only while the agent uses the terminal line by line (ICANON; a
 * full-screen program or a shell's line editor has it otherwise) and this session has the foreground. The
 * tree is frozen first, so nothing inside reads or writes meanwhile; what had been typed for
 * the agent before is not ours to read, and then the prompt stays away. NONE -> FREEZING
 * (REQUEST_PROMPT is on its way) -> SHOWN -> NONE; the mode of the terminal is put back exactly.
 * Where no prompt can be shown, `vsandbox approve` answers from another terminal; a full-screen program's rings its bell.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <termios.h>

#include "launcher/control.h"
#include "sandbox/hold.h"

enum { APPROVALS_TICKET = 0x7ffffff0 }; /* of the prompt's requests; control sockets count from 1 */

enum approve_by { APPROVE_TTY, APPROVE_WEB, APPROVE_NONE, APPROVE_BY_COUNT };

struct approval {
	uint32_t id; /* 0 free */
	uint64_t deadline_ms;
	bool passed_over;          /* could not be asked here, or was put off: not prompted again */
	bool notified;             /* by a notify_command: notify.h */
	struct json_object *event; /* owned */
};

enum prompt_state { PROMPT_NONE, PROMPT_FREEZING, PROMPT_SHOWN };

struct approvals {
	const struct control_host *host; /* borrowed */
	const char *session;             /* id; borrowed */
	const struct policy *policy;     /* whose approvals for good are written down; borrowed */
	enum approve_by by;
	struct approval items[HOLD_QUESTIONS];
	unsigned count;
	bool denied_any; /* by a person, or by time */
	int tty_fd;      /* owned; -1: no prompt */
	enum prompt_state prompt;
	uint32_t asked;         /* the question of the prompt */
	unsigned freezing;      /* requests to freeze for a prompt that have no reply yet */
	uint64_t shown_ms;      /* since when it stands there */
	struct termios termios; /* as the agent has it, while SHOWN */
	pid_t foreground;       /* the group that had the terminal, while SHOWN */
	pid_t agent_pid;
	bool screen_taken; /* when last looked: a question waits, and a full-screen program has the terminal */
};

void approvals_init(struct approvals *a, const struct control_host *host, const char *session,
		    const struct policy *policy, enum approve_by by);
void approvals_finish(struct approvals *a);

void approvals_held(struct approvals *a, uint32_t id, const char *text);
/* @denied: by a person or by time; else it was allowed, or nobody waits for it any more. */
void approvals_settled(struct approvals *a, uint32_t id, bool denied);

/*
 * Tells the monitor. @by: who answers, for the log. @ticket of the reply. 0, or -errno with the reason in @err, -ENOENT
 * for a question that is over. SCOPE_ALWAYS is written down first (kept.h); when that fails nothing is answered.
 */
int approvals_answer(struct approvals *a, uint32_t id, bool allow, enum hold_scope scope,
		     const char *by, uint32_t ticket, struct err *err);
/* The open questions as a JSON array. */
void approvals_list(const struct approvals *a, FILE *f);

/* The prompt's part of the poll loop. */
struct pollfd approvals_poll(const struct approvals *a);
void approvals_key(struct approvals *a);
/* The reply to a request to freeze for a prompt. */
void approvals_reply(struct approvals *a, int result);
/* Takes the prompt away, because the session is stopped or interrupted; asks again when it may. */
void approvals_withdraw(struct approvals *a);
/* Shows one if there is something to ask and it can be asked here. */
void approvals_prompt(struct approvals *a);
/*
 * Asks what a full-screen program has kept from being asked, once that is gone. True while one does: again a little
 * later.
 */
bool approvals_tend(struct approvals *a);
