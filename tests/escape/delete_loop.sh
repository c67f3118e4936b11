#!/bin/bash
# An agent that deletes 2,000 files one by one, under a policy that blocks deleting them: none is lost,
# neither outside nor inside, by any of the calls that delete. TAP on stdout.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
work=$(mktemp -d "${TMPDIR:-/tmp}/delete.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
mkdir -p "$work/w/data"
cd "$work/w" || exit 1
for i in {1..2000}; do echo "$i" >"data/f$i"; done
cat >"$work/policy.json" <<'EOF'
{
	"name": "keep",
	"description": "data/ may be read, not deleted",
	"max_actions_per_minute": 100000000,
	"max_risk_score": 1.0,
	"risk_threshold": 1.0,
	"rules": [
		{ "name": "keep-data", "action_type": "file_delete", "resource_pattern": "*/data/*", "effect": "block" }
	],
	"on_exit": "discard"
}
EOF

attempt() {
	claim=$1
	shift
	out=$("$VSANDBOX" run -q --policy "$work/policy.json" -- "$@" 2>/dev/null | tail -n 1)
	tap_is "$claim: all are there inside" "$out" 2000
	tap_is "$claim: all are there outside" "$(find data -type f | wc -l)" 2000
}

# shellcheck disable=SC2016
attempt 'a loop of rm' bash -c 'for f in data/*; do rm -f "$f" 2>/dev/null; done; find data -type f | wc -l'
attempt 'rm -rf' bash -c 'rm -rf data 2>/dev/null; find data -type f | wc -l'
attempt 'find -delete' bash -c 'find data -type f -delete 2>/dev/null; find data -type f | wc -l'
attempt "unlink, and rename of all onto one name" python3 -c '
import os, sys
for n in os.listdir("data"):
    for call in (os.unlink, os.remove, lambda p: os.rename(p, "../gone"), lambda p: os.replace(p, "data/f1")):
        try:
            call("data/" + n)
        except OSError:
            pass
print(sum(1 for n in os.listdir("data") if n.startswith("f")))'

# By its number it would be taken for one of the agent's own, which count less and may be deleted more freely.
echo x >found
"$VSANDBOX" run -q --policy "$work/policy.json" -- bash -c 'exec 3<found; ln -L /proc/self/fd/3 second; rm -f found'
tap_is 'a found file that got a second name by its descriptor is a found file' \
	"$("$VSANDBOX" logs --json | jq -r 'select(.op == "delete" and (.resource | endswith("/found"))) | .provenance')" existing

# bind(2) makes a name that no decision was asked for.
cat >"$work/sockets.py" <<'EOF2'
import os, socket, sys
def bind(path):
    with socket.socket(socket.AF_UNIX) as s: s.bind(path)
if sys.argv[1] == "one":
    bind("old.sock")
else:
    os.unlink("old.sock")
    for i in range(100): # in directories that are new, when there is something to hold them against
        os.mkdir(f"d{i}")
        bind(f"d{i}/new.sock")
        os.unlink(f"d{i}/new.sock")
EOF2
python3 "$work/sockets.py" one
"$VSANDBOX" run -q --policy coding-agent --on-exit discard -- python3 - all <"$work/sockets.py" 2>"$work/err"
tap_is 'sockets that come and go are no burst of deletions' "$? $(cat "$work/err")" '0 '
tap_is '… the one that was there is found, the others are its own' \
	"$("$VSANDBOX" logs --json | jq -r 'select(.op == "delete") | .provenance' | sort | uniq -c | tr -s ' \n' ' ')" ' 100 created 1 existing '
rm -f data/f1
tap_is 'natively the same loop deletes' "$(find data -type f | wc -l)" 1999
tap_done
