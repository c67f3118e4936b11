# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016,SC2010,SC2012 # work and uid are run.sh's; scripts are quoted; names are this suite's own
# The container hooks of GitHub's runner, played by their contract: one JSON line in, a response file out, the
# state handed back unchanged. Sourced by run.sh.

runner=$work/runner
sed "s|/usr/bin/vsandbox|$VSANDBOX|" packaging/ci/vsandbox-gha-hook.sh >"$work/hook.sh"
as_user mkdir -p "$runner/_work/_temp/_github_home" "$runner/_work/_temp/_runner_file_commands" \
	"$runner/_work/repo/repo" "$runner/externals/node20/bin" "$work/images"
as_user sh -c "echo registration >'$runner/.credentials_rsaparams'; echo checkout >'$runner/_work/repo/repo/file'
	printf '#!/bin/sh\necho \"node \$1\"\n' >'$runner/externals/node20/bin/node'; chmod +x '$runner/externals/node20/bin/node'"

# hook COMMAND ARGS: as the runner calls the entry script. Answer in out/response, output in out/stdout and out/stderr.
hook() {
	: >"$work/out/response"
	[ "$uid" -eq "$(id -u)" ] || chown "$uid:$uid" "$work/out/response"
	jq -nc --arg c "$1" --argjson a "$2" --argjson s "${state:-null}" --arg f "$work/out/response" \
		'{command: $c, responseFile: $f, args: $a, state: $s}' |
		as_user env VSANDBOX_GHA_OPTIONS="${options:-}" bash "$work/hook.sh" >"$work/out/stdout" 2>"$work/out/stderr"
}

# prepare IMAGE [JQ-EDIT]
prepare() {
	state=null
	hook prepare_job "$(jq -nc --arg r "$runner" --arg i "$1" '{container: {image: $i, workingDirectory: "/__w/repo/repo",
		createOptions: "", environmentVariables: {}, userMountVolumes: [], registry: null, portMappings: {},
		systemMountVolumes: [
			{sourceVolumePath: "/var/run/docker.sock", targetVolumePath: "/var/run/docker.sock", readOnly: false},
			{sourceVolumePath: ($r + "/_work"), targetVolumePath: "/__w", readOnly: false},
			{sourceVolumePath: ($r + "/externals"), targetVolumePath: "/__e", readOnly: true},
			{sourceVolumePath: ($r + "/_work/_temp"), targetVolumePath: "/__w/_temp", readOnly: false},
			{sourceVolumePath: ($r + "/_work/_temp/_github_home"), targetVolumePath: "/github/home", readOnly: false}
		]}, services: []}'" | ${2:-.}")"
	code=$?
	state=$(jq -c .state <"$work/out/response")
	return "$code"
}

# step SCRIPT [ENTRYPOINT ARG]: the exit code of the step.
step() {
	printf '%s\n' "$1" >"$runner/_work/_temp/step.sh"
	chmod 755 "$runner/_work/_temp/step.sh"
	hook run_script_step "$(jq -nc --arg e "${2:-bash}" --arg a "${3:-/__w/_temp/step.sh}" '{entryPoint: $e,
		entryPointArgs: (if $e == "bash" then ["-e", $a] else [$a] end),
		environmentVariables: {GITHUB_ENV: "/__w/_temp/_runner_file_commands/env", HOME: "/github/home",
			VSANDBOX_POLICY: "observe", "a b": "two words"},
		prependPath: ["/opt/one", "/opt/two"], workingDirectory: "/__w/repo/repo"}')"
}

prepare host
tap_is 'github: prepare_job succeeds' "$?" 0
tap_is 'github: … and answers with state, context and isAlpine' \
	"$(jq -r '[(.state.job | length > 0), (.context.container.id | length > 0), (.context.services | length), .isAlpine] |
		map(tostring) | join(" ")' <"$work/out/response")" 'true true 0 false'
step 'pwd -P; cat file; echo "${PATH%%/two:*}"; echo "K=v" >>"$GITHUB_ENV"; echo new >made; echo home >~/x; (sleep 271828 >/dev/null 2>&1 &)
	echo "-$VSANDBOX_POLICY-"'
tap_is 'github: a step runs in the checkout, with its variables and PATH' "$? $(tr '\n' ' ' <"$work/out/stdout")" \
	"0 $runner/_work/repo/repo checkout /opt/one:/opt -- "
tap_is 'github: what it hands over by files reaches the runner' \
	"$(cat "$runner/_work/_temp/_runner_file_commands/env" "$runner/_work/_temp/_github_home/x" | tr '\n' ' ')" 'K=v home '
tap_is 'github: what it wrote into the checkout does not' "$(ls "$runner/_work/repo/repo")" file
step 'cat made; pgrep -c sleep; exit 42'
tap_is 'github: a later step sees its files and processes; the code is that of the step' \
	"$? $(tr '\n' ' ' <"$work/out/stdout")" '42 new 1 '
step '' /__e/node20/bin/node /__w/_actions/a/index.js
tap_is 'github: an action in node, which the runner brings' "$? $(cat "$work/out/stdout")" '0 node /__w/_actions/a/index.js'
step "cat '$runner/.credentials_rsaparams' $work/home/.ssh/id_ed25519 2>/dev/null || echo refused; ls /var/run/docker.sock 2>/dev/null"
tap_is 'github: no registration of the runner, no key, no socket of an engine is there' "$(cat "$work/out/stdout")" refused
hook run_container_step '{"image":"alpine","entryPoint":"sh"}'
tap_is 'github: a container step is refused' "$?" 1
has 'github: … with the reason' "$work/out/stderr" 'container of its own'
printf 'trap "echo int; exit 9" INT\necho ready\nwhile :; do sleep 0.1; done\n' >"$runner/_work/_temp/step.sh"
jq -nc --argjson s "$state" '{command: "run_script_step", responseFile: null, state: $s, args: {entryPoint: "bash",
	entryPointArgs: ["/__w/_temp/step.sh"], environmentVariables: {}, prependPath: "", workingDirectory: "/__w"}}' >"$work/out/request"
cat >"$work/out/cancel.py" <<'PY'
import signal, subprocess, sys, time
log = open(sys.argv[1], "w+")
p = subprocess.Popen(sys.argv[3:], stdout=log, stderr=log, stdin=open(sys.argv[2]))
end = time.monotonic() + 120
while "ready" not in open(sys.argv[1]).read() and time.monotonic() < end and p.poll() is None:
    time.sleep(0.05)
p.send_signal(signal.SIGINT)
print(p.wait(120))
PY
tap_is 'github: SIGINT on a timeout reaches the step' "$(as_user /usr/bin/python3 "$work/out/cancel.py" \
	"$work/out/cancelled" "$work/out/request" bash "$work/hook.sh") $(tail -n 1 "$work/out/cancelled")" '9 int'
hook cleanup_job '{}'
tap_is 'github: cleanup_job ends it: no sandbox, no job, no change' \
	"$? $(as_user "$VSANDBOX" ps | grep -c running) $(ls "$XDG_STATE_HOME/vsandbox/ci") $(ls "$runner/_work/repo/repo")" '0 0  file'
has 'github: the report is in the log of the job' "$work/out/stdout" 'denied file_read'

# Refusals: each a failed prepare_job that leaves nothing.
refused() {
	tap_is "github: $1" "$? $(ls "$XDG_STATE_HOME/vsandbox/ci") $(grep -c "$2" "$work/out/stderr")" '1  1'
}
prepare alpine:3
refused 'an image that nobody provided' 'knows only the image host'
prepare host '.services = [{"image": "postgres"}]'
refused 'services' services
prepare host '.container.userMountVolumes = [{"sourceVolumePath": "/root", "targetVolumePath": "/x"}]'
refused 'volumes that the job asks for' volumes
prepare host '.container.systemMountVolumes += [{"sourceVolumePath": "/etc", "targetVolumePath": "/__w/_actions"}]'
refused 'a mount that is not where its parent says' 'cannot be shown'
options="--images-dir $work/images" prepare ../../etc
refused 'the name of an image is no path' 'would be'
options='--policy nosuch' prepare host
refused 'a policy that is none' nosuch
hook nosuch '{}'
tap_is 'github: an unknown command fails' "$?" 1
echo '[1' | as_user "$VSANDBOX" ci github 2>"$work/out/stderr"
tap_is 'github: what is no JSON fails' "$?" 1
hook cleanup_job '{}'
tap_is 'github: cleanup after a failed prepare is no failure' "$?" 0

# An image: a tree with nothing but busybox and its libraries.
if command -v busybox >/dev/null; then
	image=$work/images/box_1
	mkdir -p "$image/bin" "$image/etc" "$image/tmp"
	cp "$(command -v busybox)" "$image/bin/busybox"
	for lib in $(ldd "$(command -v busybox)" | grep -oE '/[^ ]+'); do
		mkdir -p "$image$(dirname "$lib")"
		cp "$lib" "$image$lib"
	done
	for a in sh cat ls echo; do ln -s busybox "$image/bin/$a"; done
	echo 3 >"$image/etc/alpine-release"
	chmod 1777 "$image/tmp"
	[ "$uid" -eq "$(id -u)" ] || chown -R "$uid:$uid" "$image"
	options="--images-dir $work/images" prepare box:1
	tap_is 'github: a job in an image is prepared' "$? $(jq -r .isAlpine <"$work/out/response")" '0 true'
	tap_note_file "$work/out/stderr"
	step 'cat file; ls /bin' sh
	tap_is 'github: its steps have the programs of the image and the checkout' "$? $(tr '\n' ' ' <"$work/out/stdout")" \
		'0 checkout busybox cat echo ls sh '
	hook cleanup_job '{}'
	tap_is 'github: … and leave nothing in the exchange directory' "$? $(ls "$runner/_work/_temp" | grep -c vsandbox)" '0 0'
else
	tap_skip 'github: a job in an image' 'no busybox'
fi
