#!/bin/sh
# The main job in a minute: the example agent under strict, what it was denied and why, what it
# changed, and that nothing of it is final. `make demo` calls it.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
work=$(mktemp -d "${TMPDIR:-/tmp}/vsandbox-demo.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state"
mkdir -p "$work/project/src" "$XDG_STATE_HOME"
cp "$top/examples/agent/agent.py" "$work/project/agent"
chmod +x "$work/project/agent"
cd "$work/project" || exit 1
echo 'make the program better' >task.txt
echo "print('good')" >src/app.py
echo "print('old')" >src/stale.py
echo 'API_KEY=not-for-agents' >secret.env
find . -type f -exec cksum {} + | sort >"$work/before"

show() {
	printf '\n$ vsandbox %s\n' "$*"
	"$VSANDBOX" "$@"
}

printf '\n$ vsandbox run --policy strict -- ./agent\n'
"$VSANDBOX" run --policy strict -- ./agent >"$work/out"
status=$?
cat "$work/out"
if [ $status -ne 0 ]; then
	echo "The run ended with $status. What this machine lacks:"
	"$VSANDBOX" doctor
	exit 1
fi
if grep -q not-for-agents "$work/out"; then
	echo 'The agent has read the secret.'
	exit 1
fi
show ps
show logs --decision block
event=$("$VSANDBOX" logs --decision block --json 2>/dev/null | sed -n 's/.*"seq": *\([0-9]*\).*/\1/p' | head -n 1)
[ -z "$event" ] || show why --event "$event"
show diff --name-status
show discard --yes
find . -type f -exec cksum {} + | sort >"$work/after"
printf '\n'
if cmp -s "$work/before" "$work/after"; then
	echo 'The project is what it was before the agent ran.'
else
	echo 'The project has changed:' && diff "$work/before" "$work/after"
	exit 1
fi
