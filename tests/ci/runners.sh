#!/bin/sh
# Real pipelines in the sandbox: gitlab-ci-local with the shim in front of PATH, Buildbot with a worker that runs its
# commands through vsandbox. And the manifests by the schemas of Kubernetes. Needs the npm registry. TAP.
#
#   VSANDBOX=... tests/ci/runners.sh
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}
tree=$PWD
work=$(mktemp -d) || exit 1
master=
end() {
	[ -z "$master" ] || kill "$master" "$worker" 2>/dev/null
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
mkdir "$work/home" "$work/npm"
export HOME="$work/home" XDG_STATE_HOME="$work/home/state" npm_config_cache="$work/npm/cache"
npm_config_update_notifier=false
export npm_config_update_notifier
mkdir "$HOME/.ssh"
echo secret >"$HOME/.ssh/id_ed25519"

# has CLAIM FILE TEXT
has() {
	if grep -qF -- "$3" "$2"; then
		tap_ok "$1"
	else
		tap_not_ok "$1"
		tap_note_file "$2" 30
	fi
}

# Words: packages that belong together.
npm_install() {
	# shellcheck disable=SC2086
	(cd "$work/npm" && timeout 300 npm install --no-audit --no-fund --silent $1 >"$work/npm.log" 2>&1)
}

gitlab_ci_local() {
	mkdir "$work/project" "$work/shim"
	sed "s|/usr/bin/vsandbox|$VSANDBOX|" "$tree/packaging/ci/bash" >"$work/shim/bash"
	chmod 755 "$work/shim/bash"
	cat >"$work/project/.gitlab-ci.yml" <<'YML'
stages: [build, test]
build:
  stage: build
  script:
    - echo "NoNewPrivs $(grep NoNewPrivs /proc/self/status)"
    - cat ~/.ssh/id_ed25519 || echo refused
    - mkdir -p dist && echo built >dist/app
    - touch /tmp/vsandbox-left-by-a-job
  artifacts:
    paths: [dist/]
test:
  stage: test
  needs: [build]
  script:
    - cat dist/app
failing:
  stage: test
  needs: []
  script:
    - exit 42
YML
	(cd "$work/project" && git init -q . && git add . && git -c user.name=n -c user.email=e commit -qm first &&
		git remote add origin git@gitlab.example.com:group/project.git)
	(cd "$work/project" && PATH=$work/shim:$PATH timeout 300 "$work/npm/node_modules/.bin/gitlab-ci-local" \
		--force-shell-executor --no-color "$@" >"$work/out" 2>&1)
}

if npm_install gitlab-ci-local@4.61.1; then
	gitlab_ci_local build test
	tap_is 'gitlab-ci-local: a pipeline of two jobs passes' "$?" 0
	tap_note_file "$work/out" 40
	has 'gitlab-ci-local: its scripts run in the sandbox' "$work/out" 'NoNewPrivs:	1'
	has 'gitlab-ci-local: … where a key is refused' "$work/out" refused
	has 'gitlab-ci-local: an artifact reaches the next job' "$work/out" built
	tap_is 'gitlab-ci-local: what a job wrote elsewhere is gone' "$(find /tmp -maxdepth 1 -name vsandbox-left-by-a-job)" ''
	rm -rf "$work/project" "$work/shim"
	gitlab_ci_local failing
	tap_is 'gitlab-ci-local: a job that fails is a pipeline that fails' "$?" 1
	has 'gitlab-ci-local: … with its exit code' "$work/out" 42
else
	tap_skip 'gitlab-ci-local: a pipeline' "npm cannot install it: $(tail -n 1 "$work/npm.log")"
fi

buildbot_files() {
	mkdir "$work/master" "$work/worker"
	cat >"$work/master/master.cfg" <<PY
from buildbot.plugins import *
box = ["$VSANDBOX", "run", "-q", "--policy", "ci", "--workspace", "direct", "--"]
factory = util.BuildFactory([
    steps.ShellCommand(name="build", command=box + ["sh", "-c", "grep NoNewPrivs /proc/self/status; echo built >app; touch ../left"]),
    steps.ShellCommand(name="use", command=box + ["cat", "app"]),
    steps.ShellCommand(name="secret", command=box + ["cat", "$HOME/.ssh/id_ed25519"], flunkOnFailure=False),
    steps.ShellCommand(name="fail", command=box + ["sh", "-c", "exit 3"]),
])
c = BuildmasterConfig = {
    "workers": [worker.Worker("w", "pass")],
    "protocols": {"pb": {"port": "tcp:0:interface=127.0.0.1"}},
    "builders": [util.BuilderConfig(name="b", workernames=["w"], factory=factory)],
    "schedulers": [schedulers.Periodic(name="now", builderNames=["b"], periodicBuildTimer=3600)],
    "db": {"db_url": "sqlite:///state.sqlite"},
    "buildbotNetUsageData": None,
    "logCompressionMethod": "raw",
}
PY
}

# A free port: the configuration has to name it before both start.
free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

results() {
	sqlite3 "$work/master/state.sqlite" "select name || '=' || results from steps where complete_at is not null order by number" 2>/dev/null | tr '\n' ' '
}

if command -v buildbot >/dev/null && command -v buildbot-worker >/dev/null; then
	buildbot_files
	port=$(free_port)
	sed -i "s/tcp:0:/tcp:$port:/" "$work/master/master.cfg"
	buildbot create-master -r "$work/master" >"$work/log" 2>&1
	buildbot-worker create-worker "$work/worker" "127.0.0.1:$port" w pass >>"$work/log" 2>&1
	(cd "$work/master" && exec twistd3 --nodaemon --no_save -y buildbot.tac) >>"$work/log" 2>&1 &
	master=$!
	(cd "$work/worker" && exec twistd3 --nodaemon --no_save -y buildbot.tac) >>"$work/log" 2>&1 &
	worker=$!
	for _ in $(seq 120); do
		case $(results) in *fail=*) break ;; esac
		sleep 1
	done
	tap_is 'buildbot: steps end as their commands do' "$(results | sed 's/^worker_preparation=0 //')" 'build=0 use=0 secret=2 fail=2 '
	[ -n "$(results)" ] || tap_note_file "$work/log" 15
	sqlite3 "$work/master/state.sqlite" "select content from logchunks where compressed = 0" >"$work/out" 2>/dev/null
	has 'buildbot: they run in the sandbox' "$work/out" 'NoNewPrivs:	1'
	tap_is 'buildbot: what they wrote outside of the builder is gone' "$(find "$work/worker" -name left)" ''
	has 'buildbot: a later step sees what an earlier one built' "$work/out" built
	kill "$master" "$worker"
	wait "$master" "$worker"
	master=
else
	tap_skip 'buildbot: a build' 'buildbot and buildbot-worker are not installed'
fi

if npm_install "kubernetes-models@5.1.0 js-yaml@4"; then
	cat >"$work/npm/check.mjs" <<'JS'
import fs from "node:fs";
import yaml from "js-yaml";
const dir = process.argv[2];
let count = 0;
for (const file of fs.readdirSync(dir).sort()) {
  for (const o of yaml.loadAll(fs.readFileSync(`${dir}/${file}`, "utf8"))) {
    const kind = `${o.apiVersion}/${o.kind}`;
    if (kind === "security-profiles-operator.x-k8s.io/v1beta1/SeccompProfile") continue; // no schema there
    try {
      new (await import(`kubernetes-models/${o.apiVersion}`))[o.kind](o).validate();
    } catch (e) {
      throw new Error(`${file}: ${kind}: ${e.message}`);
    }
    count++;
  }
}
console.log(count);
JS
	(cd "$work/npm" && node check.mjs "$tree/packaging/kubernetes") >"$work/out" 2>&1
	tap_is 'kubernetes: the manifests are objects of their kinds' "$? $(tail -n 1 "$work/out")" '0 9'
	tap_note_file "$work/out" 8
	mkdir "$work/bad"
	sed 's/hostPID: true/hostPID: "yes"/' packaging/kubernetes/30-agent.yaml >"$work/bad/a.yaml"
	(cd "$work/npm" && node check.mjs "$work/bad") >/dev/null 2>&1
	tap_is 'kubernetes: … and a wrong type is noticed' "$?" 1
else
	tap_skip 'kubernetes: the manifests by their schemas' "npm cannot install the models: $(tail -n 1 "$work/npm.log")"
fi
tap_done
