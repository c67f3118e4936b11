/*
 * A line of the log as an event of the Open Cybersecurity Schema Framework, 1.3: what SIEMs read.
 * The mapping is in vsandbox-events(5).
 */
#pragma once

#include "base/err.h"

struct json_object;

/*
 * The OCSF event of the log line @event, a new object of the caller's; NULL out of memory. What
 * OCSF has no member for stands under "unmapped".
 */
struct json_object *ocsf_event(const struct json_object *event, const char *hostname);
