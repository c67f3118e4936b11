load common

# Every command line that the manual pages and the README show is run as it stands there.

PAGES=$BATS_TEST_DIRNAME/../../man
README=$BATS_TEST_DIRNAME/../../README.md

# Lines of the README's shell blocks; comments are cut.
readme_lines() {
	awk '/^```sh/ { on = 1; next } /^```/ { on = 0 } on' "$README" | sed -E 's/ +#.*//' | grep .
}

# What builds the program that is tested here.
builds() {
	grep -E '^(make( .*)?|apt install .*|PATH=\$PWD/build/release:\$PATH)$'
}

# Lines of the README's shell blocks but those that build, and lines "vsandbox …" that the manual shows.
examples() {
	readme_lines | grep -vxFf <(readme_lines | builds)
	sed -nE 's/^\.Dl (\$ )?(vsandbox .*)/\2/p' "$PAGES"/*.[1-8] | sed -e 's/\\&//g' -e 's/\\e/\\/g' -e 's/\\-/-/g'
}

@test "every example runs: none is refused as a usage error" {
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME/.ssh" bin src
	echo key >"$HOME/.ssh/id_ed25519"
	ln -sf "$VSANDBOX" bin/vsandbox
	PATH=$PWD/bin:/usr/bin:/bin
	printf '#!/bin/sh\necho worked >result\n' >agent
	chmod +x agent
	printf 'all check:\n\techo made >out\n' >Makefile
	echo '{}' >.vsandbox.json
	echo '{"ociVersion":"1.0.2","process":{},"linux":{}}' >config.json
	tiny_root root && tar -C root -cf image.tar . && rm -r root
	# what the examples that look at a session find
	vsandbox run -q -- sh -c 'cat ~/.ssh/id_*; touch fresh' 2>/dev/null || true
	examples >list
	[ "$(wc -l <list)" -gt 20 ]
	sleep 3000 3>&- &
	sleeper=$!
	while read -r line; do
		line=${line//4711/$sleeper} # some process that runs already
		# a policy and a file that an earlier example made are made anew
		rm -f job.json
		case $line in *"policy create"*) vsandbox policy delete --yes mine 2>/dev/null || true ;; esac
		case $line in *"-p ./job.json"*) vsandbox learn -q -o job.json -- make >/dev/null 2>&1 ;; esac
		rc=0
		case $line in # what is undone must have been committed
		"vsandbox undo") vsandbox run -q -- touch committed && vsandbox commit --yes ;;
		esac
		printf 'y\n' | timeout 300 sh -c "$line" >out.txt 2>&1 || rc=$?
		case $line in
		# without a terminal these want their yes; that they say so is what is shown
		"vsandbox discard" | "vsandbox commit" | "vsandbox undo" | "vsandbox policy trust") [ "$rc" -eq 125 ] && grep -q -- --yes out.txt ;;
		*) [ "$rc" -ne 125 ] ;;
		esac || {
			echo "$line: $rc"
			cat out.txt
			return 1
		}
	done <list
	kill "$sleeper"
}

# Number @2 of the literal blocks of manual page @1.
block() {
	awk -v wanted="$2" '/^\.Bd -literal/ { on = ++n == wanted; next } /^\.Ed/ { on = 0 } on' "$PAGES/$1" |
		sed -e 's/\\&//g' -e 's/\\e/\\/g' -e 's/\\-/-/g'
}

@test "what the README builds with is what is built with here" {
	[ "$(readme_lines | builds | wc -l)" -eq 5 ]
	cd "$BATS_TEST_DIRNAME/../.."
	for target in $(readme_lines | builds | sed -nE 's/^make ([a-z]+)/\1/p'); do
		grep -q "^$target: .*##" Makefile
	done
	words=$(sh -c "$(readme_lines | builds | sed -n 's/^apt install/echo/p')")
	for package in $(sed -n 's/^build \(lib[^ ]*\)$/\1/p' packaging/apt-packages) gcc make; do
		[[ " $words " == *" $package "* ]] || { echo "$package"; false; }
		dpkg -s "$package" >/dev/null
	done
	# make demo is that and this
	grep -A4 '^demo:' Makefile | grep -q examples/demo.sh
	TMPDIR=$BATS_TEST_TMPDIR run sh examples/demo.sh </dev/null
	[ "$status" -eq 0 ]
	[[ $output == *"The project is what it was before the agent ran."* && $output == *"denied file_"* ]]
}

@test "the manual's other examples: each line is run, each block is what it says, and none is left out" {
	# lines: vsandbox itself above, requests to the control plane in serve.bats
	sed -nE 's/^\.Dl (\$ )?//p' "$PAGES"/*.[1-8] >lines
	not grep -vE '^(vsandbox|curl) ' lines
	[ "$(sed -nE 's/^\.Dl \$ curl/&/p' "$PAGES"/*.[1-8] | wc -l)" -eq "$(sed -nE 's/^\.Dl \$ curl/&/p' "$PAGES/vsandbox-serve.8" | wc -l)" ]
	grep -q "Dl .. (curl" "$BATS_TEST_DIRNAME/serve.bats"
	[ "$(grep -c '^\.Bd -literal' "$PAGES"/*.[1-8] | grep -v ':0$' | sed 's|.*/||' | tr '\n' ' ')" = \
		"vsandbox-ci.1:2 vsandbox-oci.8:2 vsandbox-policy.5:1 vsandbox-sdk.3:1 " ]
	block vsandbox-policy.5 1 >careful.json
	"$VSANDBOX" policy check ./careful.json
	"$VSANDBOX" why -p ./careful.json --path db/live/x --op write | grep -q 'decision *block'
	ln -s "$VSANDBOX" vsandbox
	echo '{"ociVersion":"1.0.2","process":{},"linux":{}}' >config.json
	block vsandbox-oci.8 1 >hook.json
	block vsandbox-oci.8 2 >engines
	block vsandbox-ci.1 1 >runner.toml
	block vsandbox-ci.1 2 >runner.env
	for engine in podman ctr buildah; do
		grep -q "^$engine .*-runc" engines
		grep -rq "$engine " "$BATS_TEST_DIRNAME/../oci"
	done
	"$VSANDBOX" help ci >help
	python3 - <<-'PY'
		import json, re, subprocess, tomllib
		hook = json.load(open("hook.json"))
		assert re.match(list(hook["when"]["annotations"])[0], "io.vsandbox.policy")
		assert hook["stages"] == ["precreate"]
		patched = subprocess.run(hook["hook"]["args"], executable="./vsandbox", stdin=open("config.json"), capture_output=True, check=True)
		assert json.loads(patched.stdout)["linux"]["seccomp"]["listenerPath"]
		docker = json.loads(open("engines").read().split("Docker:", 1)[1])
		assert docker["runtimes"]["vsandbox-ci"]["runtimeArgs"] == ["--vsandbox-policy", "ci"]
		custom = tomllib.load(open("runner.toml", "rb"))["runners"][0]["custom"]
		flags = re.findall("--[a-z-]+", open("help").read())
		for stage in "config", "prepare", "run", "cleanup":
		    assert custom[stage + "_exec"] == "/usr/bin/vsandbox"
		    args = custom[stage + "_args"]
		    assert args[:3] == ["ci", "gitlab", stage]
		    assert all(a in flags for a in args if a.startswith("--")), args
		env = dict(line.split("=", 1) for line in open("runner.env").read().split("\n") if line)
		assert all(a in flags for a in env["VSANDBOX_GHA_OPTIONS"].split() if a.startswith("--"))
	PY
	{
		printf '#include <err.h>\n#include "vsandbox.h"\nvoid write_report(const char *);\nint remove_again(const struct vs_action *, void *);\n'
		printf 'void example(struct vs_client *vs, const char *path);\nvoid example(struct vs_client *vs, const char *path) {\n'
		printf 'struct vs_decision decision; struct vs_error err;\n'
		block vsandbox-sdk.3 1
		echo '}'
	} >block.c
	cc -fsyntax-only -I"$BATS_TEST_DIRNAME/../../sdk/c" block.c
	# help shows none that would have to be run
	for verb in $("$VSANDBOX" help | awk '/^  [a-z]/ { print $1 }'); do
		not grep -E '^ *(\$ |vsandbox )' <("$VSANDBOX" help "$verb")
	done
}

@test "every verb that is built has an example or a test of its own" {
	for verb in $("$VSANDBOX" help | awk '/^  [a-z]/ { print $1 }'); do
		examples | grep -q "^vsandbox $verb\b" || grep -rq "VSANDBOX\"* $verb\b" "$BATS_TEST_DIRNAME/.." ||
			{ echo "$verb"; false; }
	done
}

@test "mcp answers over standard input and output" {
	export VSANDBOX_API_KEY=vtk_none
	run "$VSANDBOX" mcp <<<'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
	[[ $output == *get_agents* ]]
}

@test "every flag of every verb can come from its variable" {
	printf '{"name": "v"}\n' >v.json
	# each is set to what no flag takes, or for a switch to no truth: then the verb must complain of it
	for verb in $("$VSANDBOX" help | awk '/^  [a-z]/ { print $1 }'); do
		"$VSANDBOX" help "$verb" | grep -E '^  (-.,|   ) --' | while read -r line; do
			flag=$(grep -oE -- '--[a-z-]+' <<<"$line" | head -n 1)
			name=VSANDBOX_$(tr 'a-z-' 'A-Z_' <<<"${flag#--}")
			# two spaces after the name: a switch; else a value's name stands there
			grep -qE -- "$flag  " <<<"$line" || continue
			run env "$name=maybe" "$VSANDBOX" "$verb"
			[ "$status" -eq 125 ]
			echo "$verb $flag" >>tested
			[[ $output == *"$name is 'maybe'"* ]] || { echo "$verb $flag: $output"; exit 1; }
		done
	done
	[ "$(wc -l <tested)" -gt 40 ]
	run env VSANDBOX_POLICY=nosuch "$VSANDBOX" run -- true
	[[ $output == *'no policy "nosuch"'* ]]
	run env VSANDBOX_MAX_AGE=never "$VSANDBOX" prune
	[[ $output == *"--max-age 'never'"* ]]
	run env VSANDBOX_FORMAT=xml "$VSANDBOX" audit export
	[[ $output == *"--format 'xml'"* ]]
}

@test "version and help print on stdout and end with 0" {
	[[ $("$VSANDBOX" version) == "vsandbox "[0-9]* ]]
	"$VSANDBOX" help help | grep -q "usage: vsandbox help"
	run "$VSANDBOX" help nosuch
	[ "$status" -eq 125 ]
}

@test "NO_COLOR and a stdout that is no terminal: no escape codes" {
	box -q -- sh -c '(echo >x.secret) 2>/dev/null; true'
	for verb in ps show logs diff doctor status "top --once" "why --event 2" help; do
		# shellcheck disable=SC2086 # verb and flag
		not grep -q $'\033' <("$VSANDBOX" $verb)
		# shellcheck disable=SC2086
		not grep -q $'\033\[[0-9;]*m' <(NO_COLOR=1 TERM=xterm script -qec "'$VSANDBOX' $verb" /dev/null </dev/null)
	done
}

@test "--json of every verb that has it: schema_version, and each member is in vsandbox-json(5)" {
	mandoc -T utf8 "$PAGES/vsandbox-json.5" | col -b >page
	cat >members.py <<-'PY'
		import json, re, sys
		page = set(re.findall(r"\w+", open("page").read()))
		# whose keys are names of things: verdicts, types, dimensions, spans; or described elsewhere
		open_ended = {"decisions", "types", "actions", "scores", "policy"}
		def walk(o, name=""):
		    if isinstance(o, dict):
		        for k, v in o.items():
		            # status counts sessions by state; elsewhere they are objects
		            if name not in open_ended and not (name == "sessions" and "damaged" in o):
		                assert k in page or k == "schema_version", (name, k)
		            if not (name in open_ended and name != "scores"):
		                walk(v, k)
		    elif isinstance(o, list):
		        for v in o: walk(v, name)
		seen = 0
		for line in sys.stdin:
		    o = json.loads(line)
		    assert o["schema_version"] == 1
		    walk(o)
		    seen += 1
		assert seen, "nothing was printed"
	PY
	box -q --status-fd 5 -- sh -c 'touch made; (echo >x.secret) 2>/dev/null; true' 5>status
	grep -q '"changes":{"added":1,' status
	python3 members.py <status
	box --json -- sh -c '(echo >x.secret) 2>/dev/null; true' 2>&1 | python3 members.py
	start_sleeper
	for line in "ps --json" "show --json" "diff --json" "doctor --json" "status --json" "top --json" \
		"why --json --path /etc/passwd" "why --json -p strict --host a.b" "policy list --json" \
		"policy test --json --fail-on none strict" "prune --json --dry-run --max-bytes 1" "run --dry-run -- true"; do
		# shellcheck disable=SC2086 # words of a line
		"$VSANDBOX" $line | python3 members.py || { echo "$line"; false; }
	done
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}
