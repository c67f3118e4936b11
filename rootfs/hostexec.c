#include "rootfs/hostexec.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/path.h"

/*
 * Matched against the end of the path, at a component. Makefile, CMakeLists.txt, Cargo's build.rs and the like are not
 * here: they run when a person builds what is in front of them, as any source does, and every commit would
 * ask. What is here runs by opening, entering, cloning, logging in, installing or pushing.
 */
static const struct {
	const char *pattern;
	const char *why;
} by_name[] = {
	{ ".git/hooks/*", "git runs it as a hook" },
	{ ".husky/*", "git runs it as a hook (husky)" },
	{ ".pre-commit-config.yaml", "pre-commit runs what it names" },
	{ ".githooks/*", "git runs it as a hook, where hooksPath says so" },
	{ ".gitmodules", "git fetches what it names" },
	{ ".git/config.worktree", "git configuration that can run programs" },
	{ ".git/info/attributes", "git applies filters by it" },
	{ ".github/workflows/*", "the CI runs it" },
	{ ".github/actions/*", "the CI runs it" },
	{ ".gitlab-ci.yml", "the CI runs it" },
	{ "Jenkinsfile", "the CI runs it" },
	{ ".circleci/*", "the CI runs it" },
	{ "azure-pipelines.yml", "the CI runs it" },
	{ ".travis.yml", "the CI runs it" },
	{ ".drone.yml", "the CI runs it" },
	{ "bitbucket-pipelines.yml", "the CI runs it" },
	{ ".buildkite/*", "the CI runs it" },
	{ ".woodpecker.yml", "the CI runs it" },
	{ ".forgejo/workflows/*", "the CI runs it" },
	{ ".gitea/workflows/*", "the CI runs it" },
	{ ".envrc", "direnv runs it on entering the directory" },
	{ "mise.toml", "mise runs it on entering the directory" },
	{ ".mise.toml", "mise runs it on entering the directory" },
	{ ".vscode/*", "the editor may run what it names" },
	{ ".idea/*", "the editor may run what it names" },
	{ ".zed/*", "the editor may run what it names" },
	{ ".exrc", "vim runs it" },
	{ ".nvim.lua", "vim runs it" },
	{ ".vimrc", "vim runs it" },
	{ ".dir-locals.el", "emacs evaluates it" },
	{ ".devcontainer/*", "the editor runs what it names" },
	{ ".devcontainer.json", "the editor runs what it names" },
	{ ".claude/*", "an agent's settings, hooks and commands" },
	{ ".claude.json", "an agent's settings" },
	{ ".codex/*", "an agent's settings" },
	{ ".cursor/*", "an agent's settings and rules" },
	{ ".cursorrules", "an agent's rules" },
	{ ".windsurf/*", "an agent's settings and rules" },
	{ ".gemini/*", "an agent's settings" },
	{ ".continue/*", "an agent's settings" },
	{ ".aider.conf.yml", "an agent's settings" },
	{ ".mcp.json", "an agent starts the servers it names" },
	{ "AGENTS.md", "agents take it as instructions" },
	{ "CLAUDE.md", "agents take it as instructions" },
	{ "CLAUDE.local.md", "agents take it as instructions" },
	{ "GEMINI.md", "agents take it as instructions" },
	{ ".github/copilot-instructions.md", "agents take it as instructions" },
	{ "conftest.py", "pytest runs it" },
	{ "sitecustomize.py", "python runs it at every start" },
	{ "usercustomize.py", "python runs it at every start" },
	{ "*.pth", "python runs lines of it at every start" },
	{ ".npmrc", "npm takes its registry and scripts from it" },
	{ ".yarnrc.yml", "yarn runs what it names" },
	{ ".yarnrc", "yarn runs what it names" },
	{ ".pnpmfile.cjs", "pnpm runs it at every install" },
	{ ".cargo/config.toml", "cargo runs what it names" },
	{ ".cargo/config", "cargo runs what it names" },
	{ ".gdbinit", "gdb runs it" },
	{ ".lldbinit", "lldb runs it" },
	{ ".bashrc", "a shell runs it" },
	{ ".bash_profile", "a shell runs it" },
	{ ".bash_login", "a shell runs it" },
	{ ".bash_logout", "a shell runs it" },
	{ ".bash_aliases", "a shell runs it" },
	{ ".profile", "a shell runs it" },
	{ ".zshrc", "a shell runs it" },
	{ ".zshenv", "a shell runs it" },
	{ ".zprofile", "a shell runs it" },
	{ ".zlogin", "a shell runs it" },
	{ ".kshrc", "a shell runs it" },
	{ ".config/fish/*", "a shell runs it" },
	{ ".inputrc", "every shell's key bindings" },
	{ ".xprofile", "the session runs it" },
	{ ".xinitrc", "the session runs it" },
	{ ".xsession", "the session runs it" },
	{ ".pam_environment", "every login takes its environment from it" },
	{ ".tmux.conf", "tmux runs what it names" },
	{ ".ssh/*", "decides who may log in and what ssh runs" },
	{ ".config/autostart/*", "the desktop starts it" },
	{ ".config/systemd/*", "systemd starts it" },
	{ ".config/environment.d/*", "every session takes its environment from it" },
	{ ".config/git/*", "git configuration that can run programs" },
	{ ".gitconfig", "git configuration that can run programs" },
	{ ".config/nvim/*", "vim runs it" },
	{ ".local/share/applications/*", "the desktop starts it" },
};

/* Directories of the system whose content is run by itself; absolute. */
static const char *const system_dirs[] = {
	"/etc",
	"/boot",
	"/usr/lib/systemd",
	"/lib/systemd",
	"/usr/lib/udev",
	"/lib/udev",
	"/var/spool/cron",
	"/usr/share/dbus-1",
	"/root/.config/autostart",
};
/* Programs that are found by their name. */
static const char *const bin_dirs[] = {
	"/bin",     "/sbin",      "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin",
	"/usr/lib", "/usr/lib64", "/lib",     "/lib64",    "/usr/local/lib", "/usr/libexec",
};

/* Does the tail of @path, from some component on, match @pattern? Its star crosses slashes. */
static bool tail_matches(const char *path, const char *pattern)
{
	for (const char *at = path; (at = strchr(at, '/')); at++)
		if (fnmatch(pattern, at + 1, 0) == 0 && (pattern[0] != '*' || !strchr(at + 1, '/')))
			return true;
	return false;
}

const char *hostexec_path(const char *path, const char *home)
{
	for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++)
		if (tail_matches(path, by_name[i].pattern))
			return by_name[i].why;
	for (size_t i = 0; i < sizeof(system_dirs) / sizeof(system_dirs[0]); i++)
		if (path_is_within(path, system_dirs[i]))
			return "the system runs it or takes its settings from it";
	for (size_t i = 0; i < sizeof(bin_dirs) / sizeof(bin_dirs[0]); i++)
		if (path_is_within(path, bin_dirs[i]))
			return "programs of the system";
	size_t len = strlen(home);
	if (len > 1 && path_is_within(path, home) &&
	    (strncmp(path + len, "/bin/", 5) == 0 || strncmp(path + len, "/.local/bin/", 12) == 0))
		return "a program on the search path";
	return NULL;
}

bool hostexec_by_content(const char *path)
{
	const char *name = strrchr(path, '/');
	if (!name)
		return false;
	if (strcmp(name, "/package.json") == 0)
		return true;
	/* .git/config, .git/modules/NAME/config, .git/worktrees/NAME/config */
	return strcmp(name, "/config") == 0 && strstr(path, "/.git/");
}

/* Keys of git's configuration that name a program, or a file with more such keys; in lower case. */
static const char *const git_keys[] = {
	"fsmonitor",
	"hookspath",
	"sshcommand",
	"pager",
	"editor",
	"askpass",
	"gitproxy",
	"program",
	"helper",
	"clean",
	"smudge",
	"process",
	"textconv",
	"command",
	"path",
	"driver",
	"external",
	"cmd",
	"uploadpack",
	"receivepack",
	"templatedir",
	"sequence",
	"alternaterefscommand",
	"attributesfile",
	"tool",
	"guitool",
	"difftool",
	"insteadof",
	"url",
	"pushurl",
	"proxy",
	"worktree",
	"packobjectshook",
};

/* "Key = value" of one line of git's configuration: is the key one of those, or the value a command? */
static bool git_line(const char *line, size_t len, bool in_alias)
{
	char key[64];
	size_t n = 0;
	while (len && isspace((unsigned char)*line))
		line++, len--;
	if (!len || *line == '#' || *line == ';' || *line == '[')
		return false;
	while (n < len && n < sizeof(key) - 1 &&
	       (isalnum((unsigned char)line[n]) || line[n] == '-')) {
		key[n] = (char)tolower((unsigned char)line[n]);
		n++;
	}
	key[n] = '\0';
	if (in_alias && memchr(line, '!', len))
		return true;
	for (size_t i = 0; i < sizeof(git_keys) / sizeof(git_keys[0]); i++)
		if (strcmp(key, git_keys[i]) == 0)
			return true;
	return false;
}

/* Is the line, as it stands, in @text? */
static bool has_line(const char *text, const char *line, size_t len)
{
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		if (n == len && memcmp(at, line, len) == 0)
			return true;
		at += n + (at[n] == '\n');
	}
	return false;
}

static bool package_line(const char *line, size_t len, bool *in_scripts)
{
	if (memmem(line, len, "\"scripts\"", 9))
		*in_scripts = true;
	bool counts = *in_scripts;
	if (counts && memchr(line, '}', len))
		*in_scripts = false;
	return counts || memmem(line, len, "\"bin\"", 5) || memmem(line, len, "\"gypfile\"", 9);
}

bool hostexec_content(const char *path, const char *text, const char *before, char *ret,
		      size_t size)
{
	bool package = strcmp(strrchr(path, '/'), "/package.json") == 0;
	bool in_alias = false, in_scripts = false;
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, "\n");
		const char *first = at;
		while (first < at + len && isspace((unsigned char)*first))
			first++;
		if (!package && *first == '[')
			in_alias = strncasecmp(first, "[alias", 6) == 0;
		bool runs =
			package ? package_line(at, len, &in_scripts) : git_line(at, len, in_alias);
		/* a section header may carry its first key on the same line */
		if (!package && *first == '[' && memchr(first, ']', len))
			runs = git_line(strchr(first, ']') + 1,
					len - (size_t)(strchr(first, ']') + 1 - at), in_alias);
		if (runs && !has_line(before, at, len)) {
			snprintf(ret, size, "%.*s", (int)(at + len - first), first);
			return true;
		}
		at += len + (at[len] == '\n');
	}
	return false;
}

const char *hostexec_link(const char *path, const char *target, const char *workspace)
{
	if (target[0] == '/')
		return "a link to an absolute path";
	if (!workspace[0] || !path_is_within(path, workspace))
		return NULL;
	/* depth of the link's directory below the workspace, then what the target climbs and descends */
	long depth = 0;
	for (const char *p = path + strlen(workspace); (p = strchr(p, '/')); p++)
		depth++;
	depth--;
	for (const char *p = target; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			depth--;
		else if (n > 0 && !(n == 1 && *p == '.'))
			depth++;
		if (depth < 0)
			return "a link that leads out of the workspace";
		p += n + (p[n] == '/');
	}
	return NULL;
}
