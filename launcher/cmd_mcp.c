/* mcp: the control plane's tools for agents, over standard input and output. */
#include <stddef.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/sibling.h"
#include "launcher/verb.h"

int cmd_mcp(const struct options *o)
{
	static const char *const no_args[] = { NULL };
	struct err err;
	if (options_want_args(o, 0, 0, &err) == 0)
		sibling_become("mcp", no_args, &err);
	log_error("%s", err.text);
	return EXIT_USAGE;
}
