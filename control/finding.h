/* An alert as an event of the Open Cybersecurity Schema Framework, 1.3: a Detection Finding. */
#pragma once

struct json_object;

/* @alert: the row as the API shows it. A new object of the caller's. */
struct json_object *finding_of_alert(struct json_object *alert);
