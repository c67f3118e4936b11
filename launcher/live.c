#include "launcher/live.h"

#include <json-c/json.h>

#include "base/clock.h"
#include "launcher/control.h"
#include "launcher/eventfile.h"

static bool member(struct json_object *o, const char *name)
{
	return json_object_get_boolean(json_object_object_get(o, name));
}

void live_ask(const struct session *s, unsigned *budget_ms, struct live *ret)
{
	unsigned patience = *budget_ms < LIVE_PATIENCE_MS ? *budget_ms : LIVE_PATIENCE_MS;
	struct json_object *o = NULL;
	struct err err;
	*ret = (struct live){ 0 };
	if (s->state != SESSION_RUNNING || !patience)
		return;
	uint64_t from = clock_ms();
	if (control_call(s, "status", NULL, (int)patience, &o, &err) == 0)
		*ret = (struct live){
			.known = true,
			.paused = member(o, "paused"),
			.frozen = member(o, "frozen"),
			.approvals = (unsigned)event_number(o, "approvals"),
		};
	json_object_put(o);
	uint64_t took = clock_ms() - from;
	*budget_ms -= took < *budget_ms ? (unsigned)took : *budget_ms;
}

const char *live_state_name(const struct session *s, const struct live *live)
{
	return live->known && live->paused ? "paused" : session_state_name(s->state);
}

void live_json(const struct live *live, FILE *f)
{
	if (live->known)
		fprintf(f, ",\"live\":{\"paused\":%s,\"frozen\":%s,\"approvals\":%u}",
			live->paused ? "true" : "false", live->frozen ? "true" : "false",
			live->approvals);
	else
		fputs(",\"live\":null", f);
}
