# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016,SC2010,SC2012 # work and uid are run.sh's; scripts are quoted; names are this suite's own
# bash's place: argv, stdin, exit code, signals, directory. Sourced by run.sh.

cd_shell() {
	(cd "$work/project" && as_user "$VSANDBOX" ci shell "$@" 2>"$work/out/err")
}

tap_is 'ci shell: arguments are those of bash' \
	"$(cd_shell -- -c 'printf "%s|" "$0" "$@"' name 'two words' '' '*')" 'name|two words||*|'
echo 'read line; echo "$line"; exit 42
from the stdin of the script' | cd_shell -- >"$work/out/stdout"
tap_is 'ci shell: a script on stdin, its exit code' "$? $(cat "$work/out/stdout")" \
	'42 from the stdin of the script'
tap_is 'ci shell: the directory is that of the caller' "$(cd_shell -- -c pwd)" "$work/project"
cd_shell -- -c 'cat ~/.ssh/id_ed25519' >"$work/out/stdout"
tap_is 'ci shell: a secret is denied' "$? $(cat "$work/out/stdout")" '1 '
has 'ci shell: … and told' "$work/out/err" 'secrets.ssh'
cd_shell -- -c 'echo x >made; echo x >../out/made; cat made' >/dev/null
tap_is 'ci shell: what it wrote is gone' "$(ls "$work/project"; ls "$work/out" | grep made)" ''
cd_shell --workspace direct -- -c 'echo x >made; echo x >../made' >/dev/null
tap_is 'ci shell: --workspace direct keeps what is in it, and nothing else' \
	"$(ls "$work/project") $(ls "$work" | grep made)" 'made '
rm -f "$work/project/made"
tap_is 'ci shell: a bash that the script finds is not wrapped again' \
	"$(cd_shell -- -c "'$VSANDBOX' ci shell -- -c 'echo inner'")" inner
VSANDBOX_POLICY=observe VSANDBOX_NET=host cd_shell -- -c 'cat ~/.ssh/id_ed25519' >/dev/null
tap_is 'ci shell: no variable chooses the policy' "$?" 1
(
	cd "$work/project" || exit
	# the shell itself, for its pid to be that of the gateway
	if [ "$uid" -eq "$(id -u)" ]; then set --; else set -- setpriv --reuid "$uid" --regid "$uid" --clear-groups; fi
	exec "$@" "$VSANDBOX" ci shell -- -c 'trap "echo term; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
) >"$work/out/term" 2>"$work/out/err" &
started=$!
for _ in $(seq 1200); do
	grep -q ready "$work/out/term" && break
	sleep 0.1
done
kill -TERM "$started"
wait "$started"
tap_is 'ci shell: SIGTERM reaches the script, its code comes back' "$? $(tail -n 1 "$work/out/term")" '7 term'
started=
tap_note_file "$work/out/err"
mkdir "$work/reports"
[ "$uid" -eq "$(id -u)" ] || chown "$uid:$uid" "$work/reports"
cat >"$work/out/odd" <<'SH'
cat ~/.ssh/id_ed25519
odd=$(printf 'a"<&\001\377.key')
echo x >"$odd" || true
SH
cd_shell --report-dir "$work/reports" -- "$work/out/odd"
tap_is 'a report is written as text, JUnit and SARIF' "$(ls "$work/reports" | sed 's/^[^.]*//' | sort | tr '\n' ' ')" \
	'.junit.xml .sarif .txt '
has 'the text names the denial' "$work/reports/"*.txt 'denied file_read'
sound "$work/reports"
tap_is 'JUnit and SARIF hold what their formats demand, with names that are no XML and no UTF-8' \
	"$? $(cat "$work/out/sound")" '0 '
has 'the odd name is in it, made harmless' "$work/reports/"*.junit.xml 'a&quot;&lt;&amp;'
has 'the denial is a test that failed' "$work/reports/"*.junit.xml '<failure message="denied file_read'
has 'the denial is an error of its rule' "$work/reports/"*.sarif '"ruleId":"secrets.ssh"'
tap_is 'ci report prints the same for the latest session' \
	"$( (cd "$work/project" && as_user "$VSANDBOX" ci report) | head -n 1)" "$(head -n 1 "$work/reports/"*.txt)"
cd_shell --nosuch -- -c true
tap_is 'an unknown option is a usage failure' "$?" 125
