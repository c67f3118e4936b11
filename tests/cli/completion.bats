load common

# Completion as the shells themselves carry it out.

with_vsandbox() {
	mkdir -p bin
	ln -sf "$VSANDBOX" bin/vsandbox
	PATH=$PWD/bin:$PATH
}

bash_completes() { # WORDS... : what bash offers for the last of them
	bash -c '
		_command_offset() { COMPREPLY=("offset:$1"); }
		source <(vsandbox completion bash)
		COMP_WORDS=(vsandbox "$@") COMP_CWORD=$#
		_vsandbox
		printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

@test "bash: verbs, flags, values, sessions, subverbs, the command's own words" {
	with_vsandbox
	[ "$(bash_completes dis)" = discard ]
	[ "$(bash_completes run --pol)" = --policy ]
	[ "$(bash_completes run --policy str)" = strict ]
	[ "$(bash_completes run -p str)" = strict ]
	[ "$(bash_completes run --workspace r)" = read-only ]
	[ "$(bash_completes run --mode o)" = observe ]
	[ "$(bash_completes policy cr)" = create ]
	[ "$(bash_completes policy check dat)" = data-pipeline ]
	[ "$(bash_completes audit exp)" = export ]
	[ "$(bash_completes completion f)" = fish ]
	[ "$(bash_completes run --policy dev -- ls -)" = offset:5 ]
	[ "$(bash_completes learn -o x.json make al)" = offset:4 ]
	box -q -- true
	id=$(sessions)
	[ "$(bash_completes show "${id%???}")" = "$id" ]
}

@test "zsh: the script loads, and offers verbs, flags and policies" {
	command -v zsh >/dev/null || skip "zsh is not installed"
	with_vsandbox
	vsandbox completion zsh >_vsandbox
	zsh -n _vsandbox
	cat >drive.zsh <<-'ZSH'
		zmodload zsh/zpty
		zpty z zsh -f -i
		# What was typed is echoed too: the words that are waited for are not in it as such.
		until_seen() {
			zpty -r -m z seen "*$1*" && print -r -- "$seen"
		}
		zpty -w z 'PS1=; unsetopt beep; autoload -Uz compinit && compinit -u -d ./zdump; print lo""aded'
		until_seen loaded
		zpty -w z 'complete() { zle complete-word; print -r -- "=$BUFFER="; BUFFER= }; zle -N complete'
		zpty -w z 'source ./_vsandbox; zstyle ":completion:*" menu no; bindkey "^I" complete; print rea""dy'
		until_seen ready
		for line in 'vsandbox disca' 'vsandbox run --worksp' 'vsandbox run --policy hip' 'vsandbox policy sche'; do
			zpty -n -w z "$line"$'\t'
			until_seen "=vsandbox *="
		done
		zpty -d z
	ZSH
	run timeout 100 zsh -f drive.zsh
	for word in '=vsandbox discard' '=vsandbox run --workspace' '=vsandbox run --policy hipaa-agent' '=vsandbox policy schema'; do
		[[ $output == *"$word"* ]] || { echo "$word missing in: $output"; false; }
	done
}

@test "fish: verbs, flags, policies and sessions" {
	command -v fish >/dev/null || skip "fish is not installed"
	with_vsandbox
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME"
	vsandbox completion fish >c.fish
	fish --no-execute c.fish
	offers() { fish --no-config -c 'source c.fish; complete -C "$argv[1]"' -- "$1"; }
	offers 'vsandbox disc' | grep -q '^discard'
	offers 'vsandbox run --worksp' | grep -q '^--workspace'
	offers 'vsandbox run --workspace r' | grep -q '^read-only'
	offers 'vsandbox run -p str' | grep -q '^strict'
	offers 'vsandbox policy tru' | grep -q '^trust'
	box -q -- true
	offers 'vsandbox show ' | grep -q "^$(sessions)"
}

@test "an unknown shell is refused" {
	run "$VSANDBOX" completion bsah
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean bash"* ]]
}
