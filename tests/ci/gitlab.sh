# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016,SC2010,SC2012 # work and uid are run.sh's; scripts are quoted; names are this suite's own
# GitLab Runner's custom executor, played by its contract: config once, prepare once, run for each stage with
# a script file, cleanup; CUSTOM_ENV_ variables, the job's JSON, the two codes and the file for the third. Sourced by run.sh.

builds=$work/builds cache=$work/cache
origin=$work/origin
as_user sh -c "mkdir -p '$origin' && cd '$origin' && git init -q . && echo int >main.c && printf 'k' >server.key &&
	git add . && git -c user.name=n -c user.email=e commit -qm first" || tap_not_ok 'a repository'
project=$builds/group/project

# job_json STEPS ARTIFACTS CACHE SERVICES
job_json() {
	printf '{"id":4711,"runner_info":{"timeout":3600},"steps":[%s],"artifacts":%s,"cache":%s,"services":%s}\n' \
		"$1" "$2" "$3" "${4:-[]}" >"$work/job.json"
	chmod 644 "$work/job.json"
}

# The runner's environment; what config answered comes with it.
driver() {
	as_user env JOB_RESPONSE_FILE="$work/job.json" BUILD_FAILURE_EXIT_CODE=71 SYSTEM_FAILURE_EXIT_CODE=72 \
		BUILD_EXIT_CODE_FILE="$work/out/code" CUSTOM_ENV_CI_PROJECT_DIR="${claimed:-$project}" \
		CUSTOM_ENV_VSANDBOX_POLICY=observe "$@"
}

# begin [OPTION...]: config and prepare.
begin() {
	as_user env "$VSANDBOX" ci gitlab config --builds-dir "$builds" --cache-dir "$cache" "$@" >"$work/out/config" || return
	job=$(jq -r '.job_env.VSANDBOX_CI_JOB' <"$work/out/config")
	driver VSANDBOX_CI_JOB="$job" "$VSANDBOX" ci gitlab prepare
}

# stage NAME SCRIPT: as the runner, which writes the script first. Output in out/STAGE, code on stdout.
stage() {
	printf 'set -eo pipefail\n%s\n' "$2" >"$work/out/script"
	chmod 755 "$work/out/script"
	rm -f "$work/out/code"
	driver VSANDBOX_CI_JOB="$job" "$VSANDBOX" ci gitlab run "$work/out/script" "$1" >"$work/out/$1" 2>&1 </dev/null
	echo "$?"
}

over() {
	driver VSANDBOX_CI_JOB="$job" "$VSANDBOX" ci gitlab cleanup 2>"$work/out/cleanup"
}

chmod 777 "$work/out"
script='{"name":"script"}' after='{"name":"after_script"}'
job_json "$script,$after" '[{"paths":["dist/","*.log","gone"],"exclude":["dist/**/*.tmp"]}]' '[{"paths":[".cache"]}]'
begin --report-dir "$work/reports"
tap_is 'gitlab: config and prepare end well' "$?" 0
tap_is 'gitlab: config answers with the directories and the driver' \
	"$(jq -r '[.builds_dir, .cache_dir, .driver.name, (.job_env | length)] | join(" ")' <"$work/out/config")" \
	"$builds $cache vsandbox 1"
tap_is 'gitlab: the stages of the runner itself write for real' \
	"$(stage get_sources "mkdir -p '$project' && git clone -q '$origin' '$project' && touch '$HOME/left'")" 0
tap_is 'gitlab: … the checkout, secrets of the repository included, and nothing else' \
	"$(ls "$project" | tr '\n' ' ')$(ls "$HOME" | grep left)" 'main.c server.key '
tap_is 'gitlab: the script of the author runs, sees no secret' "$(stage step_script "
	pwd; mkdir -p dist/sub .cache .git/hooks
	echo built >dist/app; echo t >dist/sub/x.tmp; ln -s /etc/shadow dist/shadow; echo log >a.log; echo no >b.txt
	echo cached >.cache/c; echo evil >.git/hooks/post-checkout; cp .git/config dist/.git
	cat ~/.ssh/id_ed25519 2>/dev/null || echo refused
	(sleep 300 >/dev/null 2>&1 &)
	echo \"\$CUSTOM_ENV_VSANDBOX_POLICY-\$JOB_RESPONSE_FILE-\$VSANDBOX_CI_JOB\"")" 0
grep -q refused "$work/out/step_script" || tap_note_file "$work/out/step_script"
tap_is 'gitlab: … in its directory, without the variables of the runner' "$(grep -v vsandbox: "$work/out/step_script" | tr '\n' ' ')" \
	"$project refused -- "
tap_is 'gitlab: … nothing of it is on the host yet' "$(find "$project" -name dist)" ''
tap_is 'gitlab: after_script is in the same sandbox' "$(stage after_script 'cat dist/app; pgrep -c sleep')" 0
has 'gitlab: … sees its files and its processes' "$work/out/after_script" 'built'
has 'gitlab: the report is in the log of the job' "$work/out/after_script" 'denied file_read'
tap_is 'gitlab: artifacts and caches reach the host, all else does not' \
	"$(cd "$project" && find . -path ./.git -prune -o ! -type d -print | sort | tr '\n' ' ')" \
	'./.cache/c ./a.log ./dist/app ./main.c ./server.key ./vsandbox.junit.xml ./vsandbox.sarif ./vsandbox.txt '
tap_is 'gitlab: no git hook is planted' "$(ls "$project/.git/hooks" | grep -vc sample)" 0
has 'gitlab: a link that leads out is left out, and told' "$work/out/after_script" 'left out: '
has 'gitlab: the report there can be uploaded' "$project/vsandbox.junit.xml" '<failure message="denied file_read'
tap_is 'gitlab: the upload sees them' "$(stage upload_artifacts_on_success "cat '$project/dist/app'")" 0
over
tap_is 'gitlab: cleanup leaves no sandbox and no job' \
	"$? $(as_user "$VSANDBOX" ps | grep -c running) $(ls "$XDG_STATE_HOME/vsandbox/ci")" '0 0 '
sound "$work/reports"
tap_is 'gitlab: the reports are sound' "$? $(cat "$work/out/sound")" '0 '

# Failures.
job_json "$script" '[{"paths":["kept"]}]' '[]'
begin
tap_is 'gitlab: a script that fails: the code for a failed job' "$(stage build_script 'echo x >kept; exit 42')" 71
tap_is 'gitlab: … and its own in the file' "$(cat "$work/out/code")" 42
tap_is 'gitlab: … its artifacts are kept all the same' "$(cat "$project/kept")" x
over
begin
tap_is 'gitlab: a script that a signal ends' "$(stage build_script 'kill -SEGV $$') $(cat "$work/out/code")" '71 139'
over
begin --policy nosuch 2>/dev/null
tap_is 'gitlab: a policy that is none is a failure of the system' "$?" 72
over
job_json "$script" '[]' '[]' '[{"name":"postgres"}]'
begin 2>"$work/out/err"
tap_is 'gitlab: services are refused' "$?" 71
has 'gitlab: … with the reason' "$work/out/err" services
over
job_json "$script" '[]' '[]'
begin
tap_is 'gitlab: a stage that is not known is refused' "$(stage nosuch true)" 72
tap_is 'gitlab: a project directory outside of builds is refused' "$(claimed=/etc stage build_script true)" 72
over
tap_is 'gitlab: without config there is no job' "$(driver "$VSANDBOX" ci gitlab run /dev/null build_script 2>/dev/null; echo "$?")" 72

# Cancelled: SIGTERM to the group of the driver, as the runner sends it.
job_json "$script,$after" '[{"paths":["kept"]}]' '[]'
begin
printf 'trap "echo term; exit 9" TERM\necho ready\nwhile :; do sleep 0.1; done\n' >"$work/out/script"
cat >"$work/out/group.py" <<'PY'
import os, signal, subprocess, sys, time
log = open(sys.argv[1], "w+")
p = subprocess.Popen(sys.argv[3:], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
end = time.monotonic() + 120
while "ready" not in open(sys.argv[1]).read() and time.monotonic() < end and p.poll() is None:
    time.sleep(0.05)
os.killpg(p.pid, getattr(signal, sys.argv[2]))
print(p.wait(120))
PY
tap_is 'gitlab: SIGTERM to the group reaches the script' "$(driver VSANDBOX_CI_JOB="$job" /usr/bin/python3 "$work/out/group.py" \
	"$work/out/cancelled" SIGTERM "$VSANDBOX" ci gitlab run "$work/out/script" build_script) $(tail -n 1 "$work/out/code")" '71 9'
has 'gitlab: … which may still speak' "$work/out/cancelled" term
tap_is 'gitlab: … and the sandbox is there for what comes after' "$(stage step_more 'echo after')" 0
printf 'echo ready\nexec sleep 271828\n' >"$work/out/script"
driver VSANDBOX_CI_JOB="$job" /usr/bin/python3 "$work/out/group.py" "$work/out/killed" SIGKILL \
	"$VSANDBOX" ci gitlab run "$work/out/script" step_more >/dev/null
tap_is 'gitlab: SIGKILL to the driver ends the script inside' \
	"$(stage after_script 'for i in $(seq 600); do pgrep -f 271828 >/dev/null || break; sleep 0.1; done; pgrep -fc "^sleep 271828" || true'; grep -v vsandbox: "$work/out/after_script" | head -n 1)" '0
0'
over
tap_is 'gitlab: cleanup after a cancel leaves nothing' \
	"$? $(as_user "$VSANDBOX" ps | grep -c running) $(ls "$XDG_STATE_HOME/vsandbox/ci")" '0 0 '
