#!/bin/bash
# Real sandboxes that report to a real control plane, and do what it asks. TAP on stdout.
#
#   VSANDBOX=... tests/uplink/run.sh [--uid N]
#
# VSANDBOX  the program under test (default build/release/vsandbox)
set -u
if [ "${1:-}" = --uid ]; then
	exec setpriv --reuid "$2" --regid "$2" --clear-groups env HOME=/nonexistent "$0"
fi
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
work=$(mktemp -d "${TMPDIR:-/tmp}/uplink.XXXXXX") || exit 1
mkdir -p "$work/box" "$work/run" && chmod 700 "$work/run"
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config XDG_RUNTIME_DIR=$work/run
unset VSANDBOX_API_KEY VSANDBOX_API_URL
server='' gateway='' receiver='' port=0
cd "$work/box" || exit 1

cleanup() {
	[ -z "$gateway" ] || kill -KILL "$gateway" 2>/dev/null
	[ -z "$receiver" ] || kill -KILL "$receiver" 2>/dev/null
	[ -z "$server" ] || kill -KILL "$server" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Waits until the arguments are true. The patience is for a machine that does much else.
eventually() {
	local until=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < until)) || return 1
		sleep 0.05
	done
}

# claim TEXT COMMAND...
claim() {
	local text=$1
	shift
	if "$@"; then
		tap_ok "$text"
	else
		tap_not_ok "$text"
		[ ! -s "$work/out" ] || tap_note_file "$work/out"
		cat "$XDG_STATE_HOME"/vsandbox/sessions/*/uplink.log >"$work/log" 2>/dev/null
		[ ! -s "$work/log" ] || tap_note_file "$work/log"
	fi
}

# start_server FLAG...: the first start chooses the port, the later ones have the same.
start_server() {
	rm -f "$work/port"
	"$VSANDBOX" serve --db "$work/store.db" --listen "127.0.0.1:$port" --port-file "$work/port" "$@" \
		>"$work/server" 2>&1 &
	server=$!
	eventually test -s "$work/port" || return 1
	port=$(cat "$work/port")
	url=http://127.0.0.1:$port
	! grep ^vtk_ "$work/server" >"$work/first" || cp "$work/first" "$work/admin"
}

stop_server() {
	kill -KILL "$server" && wait "$server" 2>/dev/null
	server=''
}

api() {
	python3 "$here/api.py" "$url" "$work/admin" "$@"
}

sessions() {
	find "$XDG_STATE_HOME/vsandbox/sessions" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort
}

# background ARG...: a run; sets gateway and session once it has begun
background() {
	local before
	before=$(sessions)
	: >"$work/out" # appended to: answers are written to it meanwhile
	"$VSANDBOX" run "$@" >>"$work/out" 2>&1 </dev/null &
	gateway=$!
	eventually new_session "$before"
}

new_session() {
	session=$(sessions | comm -13 <(echo "$1") - | head -n 1)
	[ -n "$session" ]
}

monitor() {
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["monitor"]["pid"])' \
		"$XDG_STATE_HOME/vsandbox/sessions/$session/session.json"
}

state_is() {
	api GET "/api/sessions/$session" | grep -q "\"state\": \"$1\""
}

ended() {
	! kill -0 "$gateway" 2>/dev/null
}

delivered() {
	grep -q '"delivered":true' "$XDG_STATE_HOME/vsandbox/sessions/$session/uplink.json" 2>/dev/null
}

# Actions in the session's own log.
logged() {
	grep -c '"kind":"action"' "$XDG_STATE_HOME/vsandbox/sessions/$session/events.jsonl"
}

contains() {
	grep -qa -- "$1" "$work/out"
}

lacks() {
	! grep -q -- "$1" "$work/out"
}

start_server || exit 1

# ---- login ----
api POST /api/keys '{"name":"host","role":"agent"}' | grep -o 'vtk_[A-Za-z0-9_-]*' >"$work/agent"
key=$(cat "$work/agent")
"$VSANDBOX" login --agent-key-file "$work/agent" http://example.com >"$work/out" 2>&1
claim "login: a key never goes to another host without TLS" contains "in the clear"
echo "vtk_$(head -c 43 /dev/zero | tr '\0' A)" >"$work/wrong"
"$VSANDBOX" login --agent-key-file "$work/wrong" "$url" >"$work/out" 2>&1
claim "login: a key that the server does not know is refused" contains "Invalid API key"
claim "login: then nothing is kept" test ! -e "$XDG_STATE_HOME/vsandbox/server.json"
"$VSANDBOX" login --agent-key-file "$work/agent" "$url" >"$work/out" 2>&1
claim "login: the right key is kept" contains "report to $url"
if [ ! -e "$XDG_STATE_HOME/vsandbox/server.json" ]; then
	echo "Bail out! nothing would be reported"
	exit 1
fi
tap_is "login: for nobody else to read" "$(stat -c %a "$XDG_STATE_HOME/vsandbox/server.json")" 600
"$VSANDBOX" status >"$work/out" 2>&1
claim "status: the server answers" contains "the server answers and knows the key"
chmod 644 "$XDG_STATE_HOME/vsandbox/server.json"
"$VSANDBOX" run -- true >"$work/out" 2>&1
claim "a file that others can read is not used, and the run says so" contains "not yours alone"
chmod 600 "$XDG_STATE_HOME/vsandbox/server.json"

# ---- what the agent can see ----
cat >"$work/open.json" <<-'JSON'
	{ "name": "open", "description": "blocks nothing", "max_actions_per_minute": 1000000, "risk_threshold": 1.0 }
JSON

# ---- nobody there ----
# A host of its own: until it is looked at below, its uplink has given up.
far_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -m 700 "$work/far" "$work/far/vsandbox"
sed "s|:$port|:$far_port|" "$XDG_STATE_HOME/vsandbox/server.json" >"$work/far/vsandbox/server.json"
chmod 600 "$work/far/vsandbox/server.json"
# shellcheck disable=SC2016 # the sandbox's shell expands
XDG_STATE_HOME=$work/far "$VSANDBOX" run -p "$work/open.json" --name alone -- \
	sh -c 'for i in 1 2 3; do echo $i >a$i; done; exit 7' >"$work/out" 2>&1
tap_is "without a server the run ends as it does" $? 7
claim "and says nothing of it" lacks server

# The words of the commands are in no environment; what they print must not hold the key.
look() {
	"$VSANDBOX" run -p "$work/open.json" -- sh -c "
		env; cat /proc/*/environ | tr '\\0' '\\n'
		cat '$XDG_STATE_HOME/vsandbox/server.json'
		find '$XDG_STATE_HOME' -type f -exec cat {} +; cat '$work/agent.copy'; echo looked" >"$work/out" 2>&1
}
look
claim "the agent does not see the key of the file" lacks "$key"
claim "and it did look" contains '^looked'
VSANDBOX_API_URL=$url VSANDBOX_API_KEY=$key look
claim "nor that of the environment" lacks "$key"
VSANDBOX_API_URL=$url VSANDBOX_API_KEY=$key background -p "$work/open.json" --name seen -- sleep 600
eventually state_is running
cat "/proc/$gateway/environ" /proc/"$(monitor)"/environ | tr '\0' '\n' | grep -aE '^(XDG_STATE|VSANDBOX)|vtk_' >"$work/out"
claim "a key of the environment stays in no process of the session" lacks "$key"
claim "whose environments were read" grep -qa XDG_STATE_HOME "$work/out"
kill "$gateway"
eventually ended
echo "$key" >"$work/agent.copy"
look
claim "where it is not hidden, the same look finds it" contains "$key"
rm "$work/agent.copy"

# ---- once each, whatever becomes of the server ----
# shellcheck disable=SC2016 # the sandbox's shell expands
background -p "$work/open.json" --name steady -- sh -c \
	'i=0; while [ $i -lt 300 ]; do echo >f$i; i=$((i+1)); [ $((i % 10)) != 0 ] || sleep 0.1; done'
# arrived MANY: so many actions and more
arrived() {
	local count
	count=$(api count "$session")
	[ "${count%% *}" -ge "$1" ]
}
eventually arrived 20
stop_server
sleep 0.3 # what happens meanwhile is kept
start_server
eventually arrived 60
stop_server
start_server
eventually ended
eventually delivered
tap_is "each action arrives once, though the server was killed twice meanwhile" \
	"$(api count "$session")" "$(logged) $(logged) 300"
claim "the end is reported" state_is ended
api GET "/api/sessions/$session" >"$work/out"
claim "with what it changed" contains 'box/f299", "kind": "added"'

# ---- what is masked on its way ----
# The server of this part stores what it gets, so that what is seen there is what left the host.
stop_server
start_server --no-mask
leave() {
	background -p "$work/open.json" --name "$1" -- sh -c 'echo >"x?password=hunter2&y"'
	eventually ended
	eventually delivered
	api GET "/api/actions?agent_id=$1&limit=100" >"$work/out"
}
leave masked
claim "a secret in a name is masked before it leaves the host" contains 'x?password=.masked secret.&y'
claim "and nothing of it is left there" lacks hunter2
claim "the host's own log has it as it was" grep -q 'password=hunter2' \
	"$XDG_STATE_HOME/vsandbox/sessions/$session/events.jsonl"
mkdir -p "$XDG_CONFIG_HOME/vsandbox"
echo '{ "mask_upload": false }' >"$XDG_CONFIG_HOME/vsandbox/config.json"
leave plain
claim "mask_upload false sends it as it is" contains 'password=hunter2'
echo '{ "mask_upload": "no" }' >"$XDG_CONFIG_HOME/vsandbox/config.json"
"$VSANDBOX" run -- true >"$work/out" 2>&1
claim "a switch is true or false" contains 'config.json:1: /mask_upload: expected true or false'
echo '{ "mask_upload": false }' >"$XDG_CONFIG_HOME/vsandbox/config.json"
stop_server
start_server
leave stored
claim "and the server masks what a host sends plain" contains 'x?password=.masked secret.&y'
rm "$XDG_CONFIG_HOME/vsandbox/config.json"

# ---- commands ----
background -p "$work/open.json" --name told -- sh -c \
	'echo 1 >kept; echo 2 >gone; rm kept; while :; do date +%s%N >>beat; sleep 0.1; done'
claim "a running session is shown as running" eventually state_is running
beats() {
	"$VSANDBOX" diff --json "$session" | grep -o '"path":"[^"]*beat"[^}]*size_after":[0-9]*' | grep -o '[0-9]*$'
}
control() {
	api POST "/api/sessions/$session/control" "{\"command\":\"$1\"}" >"$work/out"
}
control pause
claim "pause is answered" contains '^200'
first=$(beats)
claim "there is something to stop" test "${first:-0}" -gt 0
sleep 0.4
tap_is "pause: nothing goes on" "$(beats)" "$first"
claim "pause: the session is shown as paused" eventually state_is paused
control resume
claim "resume is answered" contains '^200'
more_beats() { [ "$(beats)" -gt "$first" ]; }
claim "resume: it goes on" eventually more_beats
claim "resume: the session is shown as running" eventually state_is running
api GET "/api/sessions/$session/diff?path=$work/box/gone" >"$work/out"
claim "a diff is answered by the sandbox" contains '+2'
control commit
claim "a commit while it runs is answered" contains '^200'
tap_is "and done on the host" "$(cat gone 2>&1)" 2
first=$(wc -l <beat)
# A file that somebody has open just then cannot be taken back, and is said to be left: the next beat is another.
discarded() { control discard && contains '^200'; }
claim "a discard while it runs is answered" eventually discarded
claim "the session goes on" eventually state_is running
tap_is "and the host keeps what was committed" "$(wc -l <beat)" "$first"
rm gone beat
control kill
claim "kill is answered" contains '^200'
claim "kill: it has ended" eventually ended
claim "kill: and is shown so" eventually state_is ended
control pause
claim "a command to an ended session is not said to be done" contains '^409'

background -p "$work/open.json" --name undo -- sh -c 'echo 1 >undone; sleep 600'
made() { "$VSANDBOX" diff "$session" 2>/dev/null | grep -q undone; }
eventually made
eventually state_is running
api POST /api/rollback '{"agent_id":"undo","n_actions":1}' >"$work/answer" # the run writes to out
claim "rollback is answered" grep -q '"rolled_back": 1' "$work/answer"
"$VSANDBOX" diff "$session" >"$work/out" 2>&1
claim "rollback: it is undone" lacks undone
control kill
eventually ended

# ---- after the end: what becomes of the changes ----
background -p "$work/open.json" --name settled -- sh -c 'echo new >settled.txt'
eventually ended
settling() { api GET "/api/sessions/$session" | grep -q settle_until; }
claim "an ended session with changes waits for a decision" eventually settling
claim "though all is delivered" delivered
control commit
claim "commit at the server is answered" contains '^200'
tap_is "and done on the host" "$(cat settled.txt 2>&1)" new
gone() { ! settling; }
claim "then nothing waits any more" eventually gone
background -p "$work/open.json" --name settled -- sh -c 'echo newer >settled.txt'
eventually ended
eventually settling
control discard
claim "discard at the server is answered" contains '^200'
tap_is "and leaves the host as it was" "$(cat settled.txt)" new
rm settled.txt

# ---- profile and rules, while it runs ----
cat >"$work/ambient.json" <<-'JSON'
	{ "name": "ambient", "description": "blocks nothing", "max_actions_per_minute": 1000000, "risk_threshold": 1.0,
	  "filesystem": { "ambient": ["/usr/**", "/lib*/**", "/bin/**", "/etc/ld.so.cache", "/etc/locale*"] } }
JSON
# shellcheck disable=SC2016 # the sandbox's shell expands
background -p "$work/ambient.json" --name edited -- sh -c \
	'while :; do (date +%s%N >x.txt) 2>/dev/null && echo wrote $(date +%s%N) || echo refused $(date +%s%N); sleep 0.05; done'
eventually state_is running
last_is() { tail -n 1 "$work/out" | grep -q "^$1"; }
claim "an action goes through" eventually last_is wrote
edit() {
	api PATCH /api/agents/edited/profile "$1" >/dev/null
	edited=$(date +%s%N)
}
edit '{"blocked_resources":["*.txt"]}'
claim "profile: the next actions are blocked" eventually last_is refused
first=$(grep -m 1 ^refused "$work/out" | cut -d ' ' -f 2)
tap_note "refused $(((${first:-0} - edited) / 1000000)) ms after the edit was answered"
taken() { api GET "/api/sessions/$session" | grep -q '"enforced": true'; }
claim "profile: the server is told that it is enforced" eventually taken
grep -q '"rule":"\*.txt","policy_file":"control plane"' "$XDG_STATE_HOME/vsandbox/sessions/$session/events.jsonl"
tap_is "profile: the log names it" $? 0
edit '{"blocked_resources":null}'
claim "profile: taken back, they go through again" eventually last_is wrote
rule=$(api POST /api/policies '{"name":"no-x","resource_pattern":"*/x.txt","effect":"block"}' |
	grep -o '"id": "[^"]*"' | cut -d '"' -f 4)
claim "a rule for all agents blocks here too" eventually last_is refused
api PATCH "/api/policies/$rule?enabled=false" >/dev/null
claim "switched off, it does not" eventually last_is wrote
edit '{"allowed_resources":["/nowhere/*"]}'
claim "a list of allowed resources forbids the rest" eventually last_is refused
starts() { tail -n 3 "$work/out" | grep -q 'refused [0-9]'; }
claim "but no program its own libraries" eventually starts
edit '{"allowed_resources":null}'
eventually last_is wrote
api PATCH /api/agents/edited '{"paused":true}' >/dev/null
claim "pausing the agent freezes its sandbox" eventually state_is paused
count=$(wc -l <"$work/out")
sleep 0.5
tap_is "really" "$(wc -l <"$work/out")" "$count"
api PATCH /api/agents/edited '{"paused":false}' >/dev/null
claim "and resuming lets it go on" eventually state_is running
api PATCH /api/agents/edited '{"terminated":true}' >/dev/null
claim "terminating it ends the sandbox" eventually ended
cat >"$work/shut.json" <<-'JSON'
	{ "name": "shut", "description": "blocks *.txt", "max_actions_per_minute": 1000000, "blocked_resources": ["*.txt"] }
JSON
# shellcheck disable=SC2016
background -p "$work/shut.json" --name widened -- sh -c \
	'while :; do (date >x.txt) 2>/dev/null && echo wrote || echo refused; sleep 0.05; done'
eventually state_is running
api PATCH /api/agents/widened/profile '{"allowed_resources":["*"]}' >/dev/null
api POST /api/policies '{"name":"lets","resource_pattern":"*","effect":"allow","priority":1000}' >/dev/null
eventually taken
sleep 0.3
claim "nothing at the server allows what the session's own policy blocks" lacks '^wrote'
control kill
eventually ended

background --no-read-events -p "$work/open.json" --name unseen -- sleep 600
eventually state_is running
api PATCH /api/agents/unseen/profile '{"blocked_resources":["*.txt"]}' >/dev/null
unenforced() { api GET "/api/sessions/$session" | grep -q '"unenforced": \["reading files'; }
claim "what a session cannot enforce is told to the server" eventually unenforced
control kill
eventually ended

# ---- approvals ----
cat >"$work/ask.json" <<-'JSON'
	{ "name": "ask", "description": "asks for *.ask", "max_actions_per_minute": 1000000, "risk_threshold": 1.0,
	  "rules": [ { "name": "asks", "action_type": "any", "resource_pattern": "*.ask", "effect": "pause" } ] }
JSON
background -p "$work/ask.json" --name asks --approve web -- sh -c \
	'echo 1 >one.ask && echo went-on; echo 2 >two.ask || echo was-denied; echo 3 >three.ask; echo over'
# answer DECISION NAME: the question about NAME
answer() {
	eventually waits "$2" || return 1
	api POST "/api/approvals/$approval" "{\"decision\":\"$1\",\"reason\":\"as tested\"}" >"$work/answer"
}
waits() {
	approval=$(api GET /api/approvals | python3 -c '
import json, sys
for a in json.loads(sys.stdin.read()[4:]):
    if a["request"]["resource"].endswith(sys.argv[1]):
        print(a["id"])' "$1")
	[ -n "$approval" ]
}
answer allow one.ask
claim "an approval given at the server is answered by the sandbox" grep -q ^200 "$work/answer"
claim "and lets the held action go on" eventually contains '^went-on'
eventually waits two.ask
mkdir -p "$XDG_CONFIG_HOME/vsandbox"
echo '{ "server_always": false }' >"$XDG_CONFIG_HOME/vsandbox/config.json"
api POST "/api/approvals/$approval" '{"decision":"allow","scope":"always"}' >"$work/answer"
claim "scope always: refused where this host's configuration forbids it" \
	grep -q '^409.*server_always' "$work/answer"
answer deny two.ask
claim "a denial makes it fail" eventually contains '^was-denied'
eventually waits three.ask
"$VSANDBOX" approve allow 3 >/dev/null 2>&1
eventually ended
claim "one answered at the host" contains '^over'
rm "$XDG_CONFIG_HOME/vsandbox/config.json"
first=$session
background -p "$work/ask.json" --name asks --approve web -- sh -c 'echo 1 >four.ask && echo went-on'
eventually waits four.ask
api POST "/api/approvals/$approval" '{"decision":"allow","scope":"always"}' >"$work/answer"
claim "scope always: the action goes on" eventually contains '^went-on'
eventually ended
grep -q four.ask "$XDG_CONFIG_HOME"/vsandbox/approvals/*.json
tap_is "scope always: it is kept on this host" $? 0
"$VSANDBOX" run -p "$work/ask.json" --name asks --approve none -- sh -c 'echo 1 >four.ask && echo went-on' >"$work/out" 2>&1
claim "scope always: the next run is not asked" contains '^went-on'
session=$first
settled() { api GET "/api/approvals?state=allowed" | grep -q three.ask; }
claim "is settled at the server too" eventually settled
eventually delivered

# ---- thresholds ----
stop_server
python3 -c '
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[1] + "/posts", "ab") as f:
            f.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, file=open(sys.argv[1] + "/receiver", "w"), flush=True)
server.serve_forever()' "$work" &
receiver=$!
eventually test -s "$work/receiver"
start_server --webhook "http://127.0.0.1:$(cat "$work/receiver")/hook"
cat >"$work/heavy.json" <<-'JSON'
	{ "name": "heavy", "description": "alerts of memory", "max_actions_per_minute": 1000000,
	  "monitors": { "memory": { "bytes": 1048576 } } }
JSON
alerts() { api GET "/api/alerts?limit=1000" | grep -o "session $session: memory above 1 MiB[^\"]*(alert)"; }
mkfifo go
background -p "$work/heavy.json" --name heavy --workspace direct -- \
	sh -c 'echo before >before; read x <go; echo after >after'
claim "a threshold that is passed is an alert at the server" eventually alerts
echo >go
eventually ended
eventually delivered
tap_is "one for the episode" "$(alerts | wc -l)" 1
posted() { grep -qs "session $session: memory above" "$work/posts"; }
claim "which the webhook is told" eventually posted
tap_is "the actions on both sides of it arrive once" "$(api count "$session" | cut -d ' ' -f 1)" "$(logged)"
kill "$receiver"
wait "$receiver" 2>/dev/null
receiver=''
rm go before after

# ---- more than may wait ----
stop_server
events() { cat "$XDG_STATE_HOME/vsandbox/sessions/$session/events.jsonl"; }
echo '{ "upload_budget": "64K" }' >"$XDG_CONFIG_HOME/vsandbox/config.json"
# shellcheck disable=SC2016
background -p "$work/open.json" --name brimming -- sh -c \
	'i=0; while [ $i -lt 600 ]; do echo >g$i; i=$((i+1)); done; echo made; exec sleep 600' # and then does nothing
claim "no action waits for a server that is away" eventually contains '^made'
given_up() { events | grep -q '"kind":"notice".*upload_budget: more than 65536 bytes'; }
claim "a log that waits beyond its budget says so" eventually given_up
sleep 2 # the same episode goes on
start_server
told() { api GET "/api/alerts?limit=100" | python3 -c '
import json, sys
for a in json.loads(sys.stdin.read()[4:]):
    if a["agent_id"] == "brimming" and "upload_budget" in a["message"]:
        print(a["message"].split(" ")[0])' >"$work/told" && [ -s "$work/told" ]; }
claim "the server is told once it answers" eventually told
control kill
eventually ended
eventually delivered
told
tap_is "once, as the log was" "$(wc -l <"$work/told") $(events | grep -c '"kind":"notice".*upload_budget')" "1 1"
tap_is "with the number of those that it does not have" "$(($(cat "$work/told") + $(api count "$session" | cut -d ' ' -f 1)))" \
	"$(logged)"
claim "which are the oldest" test "$(api count "$session" | cut -d ' ' -f 1)" -gt 0
rm "$XDG_CONFIG_HOME/vsandbox/config.json"

# ---- not to be told ----
background --no-report -p "$work/open.json" --name silent -- true
wait "$gateway"
gateway=''
sleep 1
api GET "/api/sessions/$session" >"$work/out"
claim "--no-report: the server hears nothing" contains '^404'
"$VSANDBOX" logout 2>"$work/out"
claim "logout: the key is gone" test ! -e "$XDG_STATE_HOME/vsandbox/server.json"

# ---- the host that nobody answered ----
stop_server
XDG_STATE_HOME=$work/far
session=$(sessions)
gave_up() { grep -q 'the rest goes' "$XDG_STATE_HOME/vsandbox/sessions/$session/uplink.log"; }
eventually gave_up
left() { ! delivered; }
claim "its uplink keeps what it could not deliver" left
"$VSANDBOX" status >"$work/out" 2>&1
claim "status: the server does not answer" contains "does not answer"
claim "status: something is left" contains "[1-9][0-9]* sessions* \(is\|are\) not wholly delivered"
port=$far_port
start_server
"$VSANDBOX" status --flush >"$work/out" 2>&1
claim "status --flush delivers it" lacks "not wholly delivered"
tap_is "once each" "$(api count "$session")" "$(logged) $(logged) 3"
tap_done
