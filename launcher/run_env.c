#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/run.h"

/* With --clean-env only what programs need to find their files and speak to the terminal. */
static bool kept_when_clean(const char *entry)
{
	static const char *const names[] = { "PATH",     "HOME", "USER",      "LOGNAME",
					     "SHELL",    "TERM", "COLORTERM", "LANG",
					     "LANGUAGE", "TZ",   "TMPDIR",    "PWD" };
	size_t len = strcspn(entry, "=");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && !strncmp(names[i], entry, len))
			return true;
	return !strncmp(entry, "LC_", 3);
}

static bool ours(const char *entry)
{
	return !strncmp(entry, "VSANDBOX", 8) && (entry[8] == '=' || entry[8] == '_');
}

/* Puts @entry ("K=V", taken over) in @envp, over an earlier one of that name. */
static void put(char **envp, size_t *count, char *entry)
{
	size_t len = strcspn(entry, "=") + 1;
	for (size_t i = 0; i < *count; i++) {
		if (!strncmp(envp[i], entry, len)) {
			free(envp[i]);
			envp[i] = entry;
			return;
		}
	}
	envp[(*count)++] = entry;
}

static char *join(const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 2;
	char *entry = malloc(size);
	if (entry)
		stpcpy(stpcpy(stpcpy(entry, name), "="), value);
	return entry;
}

int run_environment(char *const *env, bool clean, char *const *set, const char *session,
		    char ***ret, struct err *err)
{
	size_t room = 3, count = 0;
	for (char *const *e = env; *e; e++)
		room++;
	for (char *const *s = set; *s; s++)
		room++;
	char **envp = calloc(room, sizeof(*envp));
	bool whole = envp != NULL;
	for (char *const *e = env; whole && *e; e++) {
		if (ours(*e) || (clean && !kept_when_clean(*e)))
			continue;
		/* As found, duplicates and odd entries included: the agent's own affair. */
		whole = (envp[count++] = strdup(*e)) != NULL;
	}
	for (char *const *s = set; whole && *s; s++) {
		char *entry = NULL;
		if (**s == '=' || !**s || ours(*s)) {
			run_environment_free(envp);
			return err_set(err, EINVAL, "--env %s: %s", *s,
				       ours(*s) ? "VSANDBOX variables are not passed"
						: "a variable needs a name");
		}
		if (strchr(*s, '=')) {
			entry = strdup(*s);
		} else {
			const char *value = getenv(*s);
			if (!value) /* as docker and others: a name without a value passes ours on */
				continue;
			entry = join(*s, value);
		}
		whole = entry != NULL;
		if (whole)
			put(envp, &count, entry);
	}
	char *id = whole ? join("VSANDBOX_SESSION", session) : NULL;
	char *marker = id ? strdup("VSANDBOX=1") : NULL;
	if (!marker) {
		free(id);
		run_environment_free(envp);
		return err_set(err, ENOMEM, "out of memory");
	}
	put(envp, &count, id);
	put(envp, &count, marker);
	*ret = envp;
	return 0;
}

void run_environment_free(char **envp)
{
	for (char **e = envp; e && *e; e++)
		free(*e);
	free(envp);
}
