#include "net/inspect/stand.h"

#include <stdio.h>
#include <string.h>

static void put_text(struct stand *s, const char *text, size_t len)
{
	if (len >= sizeof(s->text))
		len = sizeof(s->text) - 1;
	memcpy(s->text, text, len);
	s->text[len] = '\0';
}

/* As the monitor will score it, but for the host, which is one for the whole connection. */
static struct standing_risk risk_of(const struct wire_conn *wire, const struct history *empty)
{
	char resource[WIRE_NAME_SIZE + 32];
	const struct wire_question *q = &wire->question;
	const struct action a = { .type = action_type_of_statement(q->flags),
				  .op = OP_QUERY,
				  .resource = resource,
				  .statement = q->text,
				  .statement_flags = q->flags };

	snprintf(resource, sizeof(resource), "%s:///%s", wire->protocol->name, wire->database);
	return standing_risk_of(&a, empty);
}

/* Only what is read to its last byte: the monitor must have seen the same. */
static bool whole(const struct wire_question *q)
{
	return q->type == ACTION_NONE &&
	       action_type_of_statement(q->flags) == ACTION_DATABASE_QUERY &&
	       !(q->flags & STATEMENT_CUT) && q->len < BROKER_TEXT_MAX / 2 &&
	       q->text[q->len] == '\0' && strlen(q->text) == q->len;
}

void stand_of(const struct wire_conn *wire, const struct history *empty, struct stand *ret)
{
	const struct wire_question *q = &wire->question;

	*ret = (struct stand){ .flags = q->flags };
	if (!whole(q))
		return;
	ret->left = 1;
	ret->risk = risk_of(wire, empty);
	put_text(ret, q->text, q->len);
	memcpy(ret->database, wire->database, sizeof(ret->database));
}

void stand_begin(struct stand *s, const struct stand *asked, unsigned count, uint64_t now_ms)
{
	*s = *asked;
	s->left = asked->left ? count : 0;
	s->passed = 0;
	s->until_ms = now_ms + STANDING_MS;
}

bool stand_passes(struct stand *s, const struct wire_conn *wire, const struct history *empty,
		  uint64_t now_ms)
{
	if (!s->left || now_ms >= s->until_ms || !whole(&wire->question) ||
	    strcmp(s->database, wire->database) != 0)
		return false;
	const struct standing_risk risk = risk_of(wire, empty);
	if (!standing_covers(&s->risk, &risk))
		return false;
	s->left--;
	s->passed++;
	return true;
}

int stand_tell(struct stand *s, struct broker_queue *out, uint64_t id, const char *protocol)
{
	struct broker_message m = { .type = BROKER_REPEATED,
				    .id = id,
				    .repeats = s->passed,
				    .action_type = ACTION_DATABASE_QUERY,
				    .op = OP_QUERY,
				    .statement_flags = s->flags };
	char text[64 + sizeof(s->database) + sizeof(s->text)];

	if (!s->passed)
		return 0;
	int n = snprintf(text, sizeof(text), "%.31s%c%s%c%s", protocol, '\0', s->database, '\0',
			 s->text);
	int r = broker_queue_send(out, &m, text, (size_t)n, NULL, 0);
	if (r == 0)
		s->passed = 0;
	return r;
}
