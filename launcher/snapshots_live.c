/* A snapshot of a running session: everything in it stands still meanwhile. */
#include "launcher/snapshots.h"
#include "launcher/standstill.h"

int snapshots_take_running(const struct session *s, const char *name, const char *reason,
			   char ret[static SNAPSHOT_NAME_SIZE], struct err *err)
{
	struct standstill st;
	/* Ctrl-C ends the program that writes; we stay to let the session go on */
	int rc = standstill_begin(s, &st, err);
	if (rc < 0)
		return rc;
	rc = snapshots_take(s, name, reason, ret, err);
	standstill_end(&st);
	return rc;
}
