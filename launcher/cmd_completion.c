/*
 * Completion for bash, zsh and fish, written out from the verb table, so that it cannot lag behind
 * it. What a word may be that is no flag (a session, a policy, a path) is said by the flag's and the
 * verb's own texts.
 */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/policy_verbs.h"
#include "launcher/term.h"
#include "launcher/verb.h"

/* First words of verbs that have verbs of their own; "" none. */
static const char *subverbs(const struct verb *v)
{
	if (!strcmp(v->name, "policy"))
		return policy_subverbs;
	if (!strcmp(v->name, "audit"))
		return "verify export";
	if (!strcmp(v->name, "ci"))
		return "shell gitlab github report";
	return strcmp(v->name, "completion") == 0 ? "bash zsh fish" : "";
}

static bool takes_session(const struct verb *v)
{
	return strstr(v->synopsis, "SESSION") != NULL;
}

static bool takes_command(const struct verb *v)
{
	return strstr(v->synopsis, "COMMAND") != NULL;
}

/* "a|b|c" in a value's text: words to choose from. NULL: no such list. */
static const char *choices(const struct option_spec *s)
{
	/* --mode's text is a word; what may follow it is in its help. */
	if (!strcmp(s->name, "mode"))
		return "observe|alert";
	return s->value && strchr(s->value, '|') &&
			       strspn(s->value, "abcdefghijklmnopqrstuvwxyz-|") == strlen(s->value)
		       ? s->value
		       : NULL;
}

/* @text with every byte of @special behind a backslash, and '|' as a space when @split. */
static void quoted(const char *text, const char *special, bool split)
{
	for (; *text; text++) {
		if (strchr(special, *text))
			putchar('\\');
		putchar(split && *text == '|' ? ' ' : *text);
	}
}

static bool wants_policy(const struct option_spec *s)
{
	return !strcmp(s->name, "policy") || !strcmp(s->name, "template");
}

/* --- bash --- */

static void bash_values(const struct verb *v)
{
	for (const struct option_spec *s = v->options; s && s->name; s++) {
		if (!s->value || (!wants_policy(s) && !choices(s)))
			continue;
		printf("\t%s:--%s", v->name, s->name);
		if (s->letter)
			printf(" | %s:-%c", v->name, s->letter);
		fputs(") words=", stdout);
		if (wants_policy(s)) {
			fputs("$(vsandbox policy list --names 2>/dev/null)", stdout);
		} else {
			putchar('\'');
			quoted(choices(s), "", true);
			putchar('\'');
		}
		puts(" ;;");
	}
}

static void bash_verb(const struct verb *v)
{
	printf("\t%s)\n\t\twords='", v->name);
	for (const struct option_spec *s = v->options; s && s->name; s++)
		printf("--%s ", s->name);
	fputs("--help' valued=' ", stdout);
	for (const struct option_spec *s = v->options; s && s->name; s++) {
		if (!s->value)
			continue;
		printf("--%s ", s->name);
		if (s->letter)
			printf("-%c ", s->letter);
	}
	printf("' subs='%s'%s%s\n\t\t;;\n", subverbs(v), takes_session(v) ? " sessions=1" : "",
	       takes_command(v) ? " command=1" : "");
}

static void print_bash(void)
{
	fputs("# source <(vsandbox completion bash)\n"
	      "_vsandbox() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} before i\n"
	      "\tlocal words= valued= subs= sessions= command=\n"
	      "\tif ((COMP_CWORD == 1)); then\n\t\twords='",
	      stdout);
	for (const struct verb *v = verb_table; v->name; v++)
		printf("%s%s", v == verb_table ? "" : " ", v->name);
	fputs("'\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
	      "\"$word\")\n\t\treturn\n\tfi\n"
	      "\tcase $verb in\n",
	      stdout);
	for (const struct verb *v = verb_table; v->name; v++)
		bash_verb(v);
	fputs("\tesac\n"
	      "\tif [[ -n $command ]]; then\n"
	      "\t\t# after the command's own name, complete as for that command\n"
	      "\t\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	      "\t\t\tcase ${COMP_WORDS[i]} in\n"
	      "\t\t\t--) _command_offset $((i + 1)); return ;;\n"
	      "\t\t\t-*) [[ $valued == *\" ${COMP_WORDS[i]} \"* ]] && ((i++)) ;;\n"
	      "\t\t\t*) _command_offset \"$i\"; return ;;\n"
	      "\t\t\tesac\n"
	      "\t\tdone\n"
	      "\tfi\n"
	      "\tbefore=${COMP_WORDS[COMP_CWORD - 1]}\n"
	      "\tif [[ $valued == *\" $before \"* ]]; then\n"
	      "\t\twords=\n"
	      "\t\tcase $verb:$before in\n",
	      stdout);
	for (const struct verb *v = verb_table; v->name; v++)
		bash_values(v);
	fputs("\t\tesac\n"
	      "\telif [[ $word != -* ]]; then\n"
	      "\t\tif [[ -n $subs && $COMP_CWORD -eq 2 ]]; then\n"
	      "\t\t\twords=$subs\n"
	      "\t\telif [[ -n $sessions ]]; then\n"
	      "\t\t\twords+=\" $(vsandbox ps 2>/dev/null | awk 'NR > 1 { print $1 }')\"\n"
	      "\t\telif [[ $verb == policy ]]; then\n"
	      "\t\t\twords+=\" $(vsandbox policy list --names 2>/dev/null)\"\n"
	      "\t\tfi\n"
	      "\tfi\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
	      "}\n"
	      "complete -o default -F _vsandbox vsandbox\n",
	      stdout);
}

/* --- zsh --- */

static void zsh_option(const struct option_spec *s)
{
	if (s->letter)
		printf("\t\t\t'(-%c --%s)'{-%c,--%s}'", s->letter, s->name, s->letter, s->name);
	else
		printf("\t\t\t'*--%s", s->name);
	putchar('[');
	for (const char *c = s->help; *c; c++) {
		if (*c == '\'')
			fputs("'\\''", stdout);
		else if (strchr("[]:\\", *c))
			printf("\\%c", *c);
		else
			putchar(*c);
	}
	putchar(']');
	if (s->value) {
		putchar(':');
		quoted(s->value, ":[]\\'", false);
		if (wants_policy(s)) {
			fputs(":_vsandbox_policies", stdout);
		} else if (choices(s)) {
			fputs(":(", stdout);
			quoted(choices(s), "", true);
			putchar(')');
		} else {
			fputs(":_files", stdout);
		}
	}
	fputs("' \\\n", stdout);
}

static void zsh_verb(const struct verb *v)
{
	printf("\t%s)\n\t\t_arguments -s -S \\\n", v->name);
	for (const struct option_spec *s = v->options; s && s->name; s++)
		zsh_option(s);
	fputs("\t\t\t'--help[print help]' \\\n", stdout);
	if (*subverbs(v))
		printf("\t\t\t'1:what:(%s)' '*:name:_vsandbox_policies' ;;\n", subverbs(v));
	else if (takes_command(v))
		puts("\t\t\t'(-)1:command: _command_names -e' '*::arguments:_normal' ;;");
	else if (takes_session(v))
		puts("\t\t\t'1:session:_vsandbox_sessions' '*:path:_files' ;;");
	else
		puts("\t\t\t'*:file:_files' ;;");
}

static void print_zsh(void)
{
	puts("#compdef vsandbox\n"
	     "# vsandbox completion zsh >~/.zfunc/_vsandbox, with ~/.zfunc in fpath before "
	     "compinit\n"
	     "_vsandbox_policies() {\n"
	     "\tlocal -a names\n"
	     "\tnames=(${(f)\"$(vsandbox policy list --names 2>/dev/null)\"})\n"
	     "\tcompadd -a names\n"
	     "\t_files -g '*.json'\n"
	     "}\n"
	     "_vsandbox_sessions() {\n"
	     "\tlocal -a ids\n"
	     "\tids=(${(f)\"$(vsandbox ps 2>/dev/null | awk 'NR > 1 { print $1 }')\"})\n"
	     "\tcompadd -a ids\n"
	     "}\n"
	     "_vsandbox() {\n"
	     "\tif ((CURRENT == 2)); then\n"
	     "\t\tlocal -a verbs\n"
	     "\t\tverbs=(");
	for (const struct verb *v = verb_table; v->name; v++) {
		printf("\t\t\t'%s:", v->name);
		for (const char *c = v->help; *c; c++)
			fputs(*c == '\'' ? "'\\''" : (char[]){ *c, 0 }, stdout);
		puts("'");
	}
	puts("\t\t)\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
	     "\tlocal verb=$words[2]\n"
	     "\tshift words\n"
	     "\t((CURRENT--))\n"
	     "\tcase $verb in");
	for (const struct verb *v = verb_table; v->name; v++)
		zsh_verb(v);
	puts("\tesac\n}\n"
	     "if [[ $funcstack[1] == _vsandbox ]]; then\n"
	     "\t_vsandbox \"$@\"\n"
	     "else\n"
	     "\tcompdef _vsandbox vsandbox\n"
	     "fi");
}

/* --- fish --- */

static void fish_text(const char *text)
{
	putchar('\'');
	quoted(text, "\\'", false);
	putchar('\'');
}

static void fish_verb(const struct verb *v)
{
	const char *seen = "__fish_seen_subcommand_from";
	printf("complete -c vsandbox -n __fish_use_subcommand -f -a %s -d ", v->name);
	fish_text(v->help);
	putchar('\n');
	for (const struct option_spec *s = v->options; s && s->name; s++) {
		printf("complete -c vsandbox -n '%s %s' -l %s", seen, v->name, s->name);
		if (s->letter)
			printf(" -s %c", s->letter);
		if (s->value)
			fputs(choices(s) || wants_policy(s) ? " -x" : " -r", stdout);
		if (wants_policy(s)) {
			fputs(" -a '(vsandbox policy list --names 2>/dev/null)'", stdout);
		} else if (choices(s)) {
			fputs(" -a '", stdout);
			quoted(choices(s), "", true);
			putchar('\'');
		}
		fputs(" -d ", stdout);
		fish_text(s->help);
		putchar('\n');
	}
	if (*subverbs(v))
		printf("complete -c vsandbox -n '%s %s; and not %s %s' -f -a '%s'\n", seen, v->name,
		       seen, subverbs(v), subverbs(v));
	if (takes_session(v))
		printf("complete -c vsandbox -n '%s %s' -f -a "
		       "'(vsandbox ps 2>/dev/null | awk \"NR > 1 { print \\$1 }\")'\n",
		       seen, v->name);
	if (takes_command(v) && !takes_session(v))
		printf("complete -c vsandbox -n '%s %s' -x -a "
		       "'(__fish_complete_subcommand --fcs-skip=2)'\n",
		       seen, v->name);
}

static void print_fish(void)
{
	puts("# vsandbox completion fish >~/.config/fish/completions/vsandbox.fish");
	for (const struct verb *v = verb_table; v->name; v++)
		fish_verb(v);
}

static const struct {
	const char *name;
	void (*print)(void);
} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish }, { NULL } };

int cmd_completion(const struct options *o)
{
	const char *name = o->arg_count == 1 ? o->args[0] : "";
	for (size_t i = 0; shells[i].name; i++) {
		if (strcmp(shells[i].name, name) != 0)
			continue;
		shells[i].print();
		return out_finish();
	}
	const char *near = nearest_word(name, &shells[0].name, sizeof(shells[0]));
	log_error("completion is there for bash, zsh and fish%s%s; for bash: source <(vsandbox "
		  "completion bash)",
		  near ? "; did you mean " : "", near ? near : "");
	return EXIT_USAGE;
}
