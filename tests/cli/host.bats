load common

# What is known of this host's sessions: top, status, prune, audit export, ps of crashed ones.

backdate() { # SESSION DAYS
	python3 - "$XDG_STATE_HOME/vsandbox/sessions/$1/end.json" "$2" <<-'PY'
		import json, sys
		end = json.load(open(sys.argv[1]))
		end["ended_ns"] -= int(sys.argv[2]) * 86400 * 10**9
		json.dump(end, open(sys.argv[1], "w"))
	PY
}

@test "top: rates of a running session, once and as JSON; no escape codes without a terminal" {
	run "$VSANDBOX" top
	[ "$status" -eq 0 ]
	start_sleeper
	run "$VSANDBOX" top --once
	[[ $output == *"$SESSION"*"sh"*"open"* ]]
	[[ $output != *$'\033'* ]]
	"$VSANDBOX" top --json | S=$SESSION python3 -c '
import json, os, sys
d = json.load(sys.stdin)
(s,) = d["sessions"]
assert s["id"] == os.environ["S"] and s["actions"]["60s"] > 1, s
assert s["types"]["file_write"] >= 1'
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
	[ "$("$VSANDBOX" top --once | wc -l)" -eq 1 ]
}

# Starts command line @1 on a terminal: descriptor 8 is its keyboard, the file shown what is on its screen.
on_terminal() {
	mkfifo keyboard
	exec 8<>keyboard
	: >shown
	timeout 300 script -qfec "$1" shown <&8 >/dev/null 2>&1 3>&- &
	TERMINAL=$!
}

@test "top redraws on a terminal until Ctrl-C" {
	redrawn() {
		[ "$(grep -ao $'\033\[H' shown | wc -l)" -ge 3 ]
	}
	on_terminal "'$VSANDBOX' top"
	eventually redrawn
	printf '\003' >&8
	await "$TERMINAL"
	[ "$status" -eq 130 ]
}

@test "status: sessions, disk space, policy" {
	box -q -- touch a
	run "$VSANDBOX" status
	[[ $output == *"$XDG_STATE_HOME/vsandbox"*"1 ended; 1 with changes"* ]]
	"$VSANDBOX" status --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["sessions"]["ended"] == 1 and d["bytes"] > 4096 and d["reports_to"] is None'
}

@test "a session whose gateway and monitor were killed is shown as crashed" {
	start_sleeper
	monitor=$(process_of "$SESSION" monitor)
	kill -9 "$GATEWAY" "$monitor"
	wait "$GATEWAY" || true
	agent=$(process_of "$SESSION" agent_process)
	gone() { ! kill -0 "$agent" 2>/dev/null; }
	eventually gone
	[ "$(state_of "$SESSION")" = crashed ]
	run "$VSANDBOX" ps
	[[ $output == *"$SESSION"*crashed* ]]
	run "$VSANDBOX" show "$SESSION"
	[[ $output == *crashed* ]]
	run timeout 60 "$VSANDBOX" logs -f "$SESSION"
	[ "$status" -eq 0 ]
	[[ $output == *started* ]]
}

@test "prune: by age, number and size, oldest first; a dry run does nothing" {
	for i in 1 2 3; do box -q --on-exit discard -- true; done
	mapfile -t all < <(sessions)
	backdate "${all[1]}" 40
	backdate "${all[2]}" 10
	run "$VSANDBOX" prune
	[ "$status" -eq 125 ]
	[[ $output == *"no budget"* ]]
	run "$VSANDBOX" prune --max-age 30d </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	run "$VSANDBOX" prune --dry-run --max-age 30d
	[[ $output == *"${all[1]}"*age* && $output != *"${all[2]}"* ]]
	[ "$(sessions | wc -l)" -eq 3 ]
	"$VSANDBOX" prune --yes --max-age 30d
	[ "$(sessions | wc -l)" -eq 2 ]
	"$VSANDBOX" prune --yes --max-sessions 1
	[ "$(sessions)" = "${all[0]}" ]
	"$VSANDBOX" prune --yes --max-bytes 1K --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["removed"][0]["budget"] == "bytes" and d["left"]["sessions"] == 0'
	[ -z "$(sessions)" ]
	for bad in "--max-age x" "--max-bytes 0" "--max-sessions -1"; do
		# shellcheck disable=SC2086 # two words
		run "$VSANDBOX" prune $bad
		[ "$status" -eq 125 ]
	done
}

@test "prune never takes a running session, nor changes nobody decided on" {
	box -q -- sh -c 'mkdir d; touch d/kept; chmod 0 d'
	kept=$(sessions)
	start_sleeper
	run "$VSANDBOX" prune --yes --max-bytes 1 --changes --dry-run
	[[ $output != *"$SESSION "* ]]
	run "$VSANDBOX" prune --yes --max-bytes 1
	[[ $output == *"hold changes and stay"*"does not hold"* ]]
	"$VSANDBOX" diff --name-status "$kept" | grep -q d/
	"$VSANDBOX" prune -y --max-bytes 1 --changes
	[ "$(sessions)" = "$SESSION" ]
	[ "$(state_of "$SESSION")" = running ]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}

@test "prune takes its budgets from config.json; that file is read strictly" {
	mkdir -p "$XDG_CONFIG_HOME/vsandbox"
	config=$XDG_CONFIG_HOME/vsandbox/config.json
	printf '// mine\n{\n\t"default_policy": "observe",\n\t"budgets": { "sessions": 1, "age": "30d", "bytes": "20G" }\n}\n' >"$config"
	for i in 1 2; do "$VSANDBOX" run -q --on-exit discard -- true; done
	"$VSANDBOX" show | grep -q 'policy *observe'
	"$VSANDBOX" prune -y
	[ "$(sessions | wc -l)" -eq 1 ]
	for bad in '"default_polcy": "x"|4: /default_polcy: unknown key; did you mean "default_policy"' \
		'"budgets": { "bytes": "many" }|4: /budgets/bytes: expected a size' \
		'"budgets": 3|4: /budgets: expected an object' \
		'"notify_command": "notify-send"|4: /notify_command: expected an absolute path' \
		'"default_policy": "./x.json"|4: /default_policy: expected an absolute path' \
		'"server_always": "no"|4: /server_always: expected true or false' \
		'"approve": 1|4: /approve: expected a string'; do
		printf '{\n\n\n\t%s\n}\n' "${bad%%|*}" >"$config"
		run "$VSANDBOX" run -- touch started
		[ "$status" -eq 125 ]
		[[ $output == *"config.json:${bad#*|}"* ]] || { echo "$output"; false; }
		[ ! -e started ]
	done
	[ "$(sessions | wc -l)" -eq 1 ]
}

@test "audit export: native is the log; OCSF has the members its classes require" {
	box -q -- sh -c 'echo x >a; mv a b; chmod 600 b; rm b; (echo s >c.secret) 2>/dev/null; cat /etc/passwd; true' >/dev/null
	id=$(sessions)
	"$VSANDBOX" audit export | cmp - "$XDG_STATE_HOME/vsandbox/sessions/$id/events.jsonl"
	"$VSANDBOX" audit export --format ocsf "$id" >ocsf
	N=$(wc -l <"$XDG_STATE_HOME/vsandbox/sessions/$id/events.jsonl") python3 - ocsf <<-'PY'
		import json, os, sys
		events = [json.loads(l) for l in open(sys.argv[1])]
		assert len(events) == int(os.environ["N"])
		needed = {1001: ["actor", "file", "device"], 1007: ["actor", "process", "device"],
		          4001: ["dst_endpoint"], 6002: ["app"], 0: []}
		for e in events:
		    for k in ["class_uid", "category_uid", "activity_id", "type_uid", "severity_id", "time", "metadata"] + needed[e["class_uid"]]:
		        assert k in e, (k, e)
		    assert e["type_uid"] == e["class_uid"] * 100 + e["activity_id"]
		    assert e["category_uid"] == e["class_uid"] // 1000
		    assert e["metadata"]["version"] == "1.3.0" and e["metadata"]["product"]["name"] == "vsandbox"
		    assert 1.6e12 < e["time"] < 4e12
		    if e["class_uid"] in (1001, 1007):
		        assert e["actor"]["process"]["pid"] > 0
		acts = {(e["class_uid"], e["activity_name"]) for e in events}
		for want in [(1001, "Create"), (1001, "Rename"), (1001, "Set Security"), (1001, "Delete"),
		             (1001, "Open"), (1007, "Launch"), (6002, "Start"), (6002, "Stop")]:
		    assert want in acts, (want, acts)
		(denied,) = [e for e in events if e.get("action") == "Denied"]
		assert denied["file"]["path"].endswith("/c.secret") and denied["disposition_id"] == 2
		assert denied["status_code"] == "EACCES" and denied["severity_id"] >= 3
	PY
	run "$VSANDBOX" audit export --format xml
	[ "$status" -eq 125 ]
	run "$VSANDBOX" audit verify "$id"
	[[ $output == *"chain intact"* ]]
	run "$VSANDBOX" audit burn
	[ "$status" -eq 125 ]
}

@test "shell: interactive, in a session of its own" {
	SHELL=/bin/bash on_terminal "'$VSANDBOX' shell -p '$POLICY'"
	eventually test -s shown # the prompt
	echo 'touch inside' >&8
	echo 'exit 5' >&8
	await "$TERMINAL"
	[ "$status" -eq 5 ]
	[ ! -e inside ]
	"$VSANDBOX" diff --name-status | grep -q inside
	run "$VSANDBOX" shell somewhere
	[ "$status" -eq 125 ]
}

@test "shell in an ended session: its changes, log and journal go on" {
	echo host >a
	box -q -- sh -c 'echo one >>a; mkdir d; echo x >d/f'
	id=$(sessions)
	cd /
	run env SHELL=/bin/sh "$VSANDBOX" shell -q "${id#*-}" <<<'cat a; echo two >>a; echo y >d/g; exit 4'
	[ "$status" -eq 4 ]
	[ "$output" = $'host\none' ] # in its directory, over what it had
	[ "$(sessions)" = "$id" ]
	"$VSANDBOX" show "$id" | grep -q '^exit code  4'
	"$VSANDBOX" logs --json "$id" | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), events
assert sum(e["kind"] == "session_start" for e in events) == 2, events'
	run "$VSANDBOX" audit verify "$id"
	[[ "$output" == *'chain intact'* ]]
	cd "$BATS_TEST_TMPDIR/work"
	# backwards through both runs
	"$VSANDBOX" rollback --yes --last 2 "$id"
	run "$VSANDBOX" diff --name-status "$id"
	[[ "$output" == *d/f* && "$output" != *d/g* ]]
	"$VSANDBOX" shell -q "$id" <<<'cat a >seen'
	"$VSANDBOX" commit --yes "$id"
	[ "$(cat seen)" = $'host\none' ]
	run "$VSANDBOX" shell "$id"
	[ "$status" -eq 125 ]
	[[ "$output" == *'holds no changes'* ]]
}

@test "shell in an ended session: under its policy and flags; not while it runs, nor where it had been laxer or stricter" {
	sed 's/"name"/"mode": "alert", "name"/' "$POLICY" >again.json
	POLICY=$PWD/again.json box -q --block '*.hush' --max-risk 0.9 -- touch x
	id=$(sessions)
	run "$VSANDBOX" shell -q "$id" <<<'touch x.hush; echo "rc $?"; touch right'
	[[ "$output" == *'rc 1'* ]]
	run "$VSANDBOX" shell -q --block '*.more' "$id" <<<'touch x.hush || touch x.more; echo "rc $?"'
	[[ "$output" == *'rc 1'* ]]
	python3 - "$XDG_STATE_HOME/vsandbox/sessions/$id/session.json" <<-'PY'
		import json, sys
		assert json.load(open(sys.argv[1]))["policy_flags"] == ["block=*.hush", "max-risk=0.9", "block=*.more"]
	PY
	sed -i 's/"alert"/"observe"/' again.json
	run "$VSANDBOX" shell -q "$id" <<<'touch wrong'
	[ "$status" -eq 125 ]
	[[ "$output" == *'ran in mode alert'* ]]
	run "$VSANDBOX" shell -q --mode alert "$id" <<<'touch x.hush; echo "rc $?"; touch right'
	[[ "$output" == *'rc 1'* ]]
	run "$VSANDBOX" diff --name-status "$id"
	[[ "$output" == *right* && "$output" != *wrong* ]]
	start_sleeper
	SESSION=$(sessions | grep -v "$id")
	run "$VSANDBOX" shell "$SESSION"
	[ "$status" -eq 125 ]
	[[ "$output" == *'is running'* ]]
	# one that crashed has kept what was there
	kill -KILL "$GATEWAY" "$(process_of "$SESSION" monitor)"
	eventually none_sleeping
	run "$VSANDBOX" shell -q "$SESSION" <<<'ls; touch later'
	echo "$output"
	[[ "$output" == *started* ]]
	[ "$(state_of "$SESSION")" = ended ]
	# layers that would be in nobody's sight
	python3 - "$XDG_STATE_HOME/vsandbox/sessions/$SESSION/layers.json" <<-'PY'
		import json, sys
		o = json.load(open(sys.argv[1]))
		o["layers"].append(dict(o["layers"][0], mount="/elsewhere", index=200))
		json.dump(o, open(sys.argv[1], "w"))
	PY
	mkdir -p "$XDG_STATE_HOME/vsandbox/sessions/$SESSION/layers/200/upper/made"
	run "$VSANDBOX" shell -q "$SESSION" <<<'touch wrong'
	[ "$status" -eq 125 ]
	[[ "$output" == *'has changes on /elsewhere'* ]]
}

@test "doctor inside a sandbox: 123, and the one fix there is" {
	run "$VSANDBOX" run -q -p observe -- "$VSANDBOX" doctor
	[ "$status" -eq 123 ]
	[[ $output == *"fail  seccomp-notify"* && $output == *"outside of the vsandbox it is in"* ]]
	[[ $output != *"boot a kernel"* ]]
	"$VSANDBOX" run -q -p observe -- "$VSANDBOX" doctor --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert not d["ok"] and d["schema_version"] == 1
assert all(l["fix"] for l in d["layers"] if l["level"] == "fail")'
}

@test "doctor with a state directory that others may enter: a failed layer with its fix" {
	box -q -- true
	chmod 0755 "$XDG_STATE_HOME/vsandbox"
	run "$VSANDBOX" doctor
	[ "$status" -eq 123 ]
	[[ $output == "fail  state "*"chmod 0700"* ]]
}

@test "mounts that come and go while a user's run begins do not fail it" {
	[ "$(id -u)" -eq 0 ] || skip "root is needed to mount"
	OTHER_HOME=$(mktemp -d /var/tmp/vsandbox-flap-XXXXXX)
	mkdir -p "$OTHER_HOME"/top/{one,two} "$OTHER_HOME"/{work,state}
	chmod 755 "$OTHER_HOME"
	cp "$POLICY" "$OTHER_HOME/open.json"
	chown -R 12345:12345 "$OTHER_HOME"
	# in a mount namespace of its own, with which all of them go
	cat >../flap <<-SH
		mount --bind "$OTHER_HOME/top" /srv
		for dir in one two; do
			while [ ! -e "$OTHER_HOME/stop" ]; do
				mount -t tmpfs flap "/srv/\$dir" && umount -l "/srv/\$dir"
			done &
		done
		cd "$OTHER_HOME/work"
		for n in \$(seq 15); do
			setpriv --reuid 12345 --regid 12345 --clear-groups env HOME="$OTHER_HOME" PATH=/usr/bin:/bin XDG_CONFIG_HOME="$OTHER_HOME/config" \
				XDG_STATE_HOME="$OTHER_HOME/state" timeout 120 "$VSANDBOX" run -q -p ../open.json -- true || echo "run \$n failed"
		done
		touch "$OTHER_HOME/stop"
		wait
		echo done
	SH
	run unshare -m --propagation private bash ../flap
	rm -rf "$OTHER_HOME"
	echo "$output"
	[ "$output" = "done" ]
}
