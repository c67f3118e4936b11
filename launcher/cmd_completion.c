/* Completion for bash, written out from the verb table, so that it cannot lag behind it. */
#include <stdio.h>
#include <string.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"
#include "launcher/verb.h"

int cmd_completion(const struct options *o)
{
	if (o->arg_count != 1 || strcmp(o->args[0], "bash")) {
		log_error("completion is there for bash: source <(vsandbox completion bash)");
		return EXIT_USAGE;
	}
	fputs("# source <(vsandbox completion bash)\n"
	      "_vsandbox() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} i\n"
	      "\tlocal words= valued=\n"
	      "\tif ((COMP_CWORD == 1)); then\n\t\twords='",
	      stdout);
	for (const struct verb *v = verb_table; v->name; v++)
		if (v->run)
			printf("%s%s", v == verb_table ? "" : " ", v->name);
	fputs("'\n\telse\n\t\tcase $verb in\n", stdout);
	for (const struct verb *v = verb_table; v->name; v++) {
		if (!v->run || !v->options)
			continue;
		printf("\t\t%s) words='", v->name);
		for (const struct option_spec *s = v->options; s->name; s++)
			if (!s->unbuilt)
				printf("%s--%s", s == v->options ? "" : " ", s->name);
		fputs("' valued=' ", stdout);
		for (const struct option_spec *s = v->options; s->name; s++)
			if (!s->unbuilt && s->value)
				printf("--%s ", s->name);
		fputs("' ;;\n", stdout);
	}
	fputs("\t\tpolicy) words='list show check schema' ;;\n"
	      "\t\tcompletion) words=bash ;;\n"
	      "\t\taudit) words=verify ;;\n"
	      "\t\tesac\n"
	      "\t\tcase ${COMP_WORDS[COMP_CWORD - 1]} in\n"
	      "\t\t--policy | -p) words=$(vsandbox policy list --names 2>/dev/null) ;;\n"
	      "\t\t--mode) words='observe alert' ;;\n"
	      "\t\t--net) words='none host' ;;\n"
	      "\t\t--on-exit) words='keep discard' ;;\n"
	      "\t\t--workspace) words='overlay direct read-only' ;;\n"
	      "\t\tesac\n"
	      "\t\t# after the command's own name, complete as for that command\n"
	      "\t\tif [[ $verb == run ]]; then\n"
	      "\t\t\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	      "\t\t\t\tcase ${COMP_WORDS[i]} in\n"
	      "\t\t\t\t--) _command_offset $((i + 1)); return ;;\n"
	      "\t\t\t\t-*) [[ $valued == *\" ${COMP_WORDS[i]} \"* || ${COMP_WORDS[i]} == -p ]] && "
	      "((i++)) ;;\n"
	      "\t\t\t\t*) _command_offset \"$i\"; return ;;\n"
	      "\t\t\t\tesac\n"
	      "\t\t\tdone\n"
	      "\t\tfi\n"
	      "\tfi\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
	      "}\n"
	      "complete -o default -F _vsandbox vsandbox\n",
	      stdout);
	return out_finish();
}
