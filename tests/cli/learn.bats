load common

# What is learnt from a job lets the same job through under enforcement, and not another one.

JOBS() {
	export HOME=$BATS_TEST_TMPDIR/home PATH=/usr/bin:/bin GIT_CONFIG_NOSYSTEM=1
	mkdir -p "$HOME"
}

learn() {
	"$VSANDBOX" learn -o policy.json --name "learner" -- "$@" 2>tells
	"$VSANDBOX" policy check ./policy.json
}

# The job runs again, $LEARN_RUNS times, each as an agent nobody knows, with its exit code and no denial.
enforce() {
	local i
	for i in $(seq "${LEARN_RUNS:-1}"); do
		"$VSANDBOX" run -p ./policy.json --name "fresh$i" --on-exit discard -- "$@" >"out$i" 2>"err$i" || {
			cat "err$i" "out$i"
			return 1
		}
		[ -z "$("$VSANDBOX" logs --decision block)" ] || {
			"$VSANDBOX" logs --decision block
			return 1
		}
	done
}

other_job_is_denied() {
	echo private >"$HOME/letter"
	run "$VSANDBOX" run -q -p ./policy.json --name other -- cat "$HOME/letter"
	[ "$status" -ne 0 ]
	[[ $output != *private* ]]
	run "$VSANDBOX" run -q -p ./policy.json --name other -- touch "$HOME/new"
	[ "$status" -ne 0 ]
	[ -n "$("$VSANDBOX" logs --decision block)" ]
}

@test "learn: a git work-flow" {
	JOBS
	job='git init -q repo && cd repo && git config user.name a && git config user.email a@b.c
		for f in 1 2 3 4; do echo $f >f$f; git add f$f; git commit -qm $f; done
		git checkout -qb side && echo x >>f1 && git commit -qam side && git checkout -q master
		git merge -q side && git log --oneline && git gc -q'
	learn sh -c "$job"
	enforce sh -c "$job"
	other_job_is_denied
	grep -q '"spawn": false' policy.json
}

@test "learn: a C build with make" {
	JOBS
	mkdir src
	for f in a b c d; do echo "int $f(void) { return 0; }" >src/$f.c; done
	echo 'int main(void) { return 0; }' >src/main.c
	printf 'prog: src/a.o src/b.o src/c.o src/d.o src/main.o\n\tgcc -o $@ $^\nsrc/%%.o: src/%%.c\n\tgcc -g -c -o $@ $<\n' >Makefile
	learn make
	enforce make
	other_job_is_denied
	! grep -q '"/usr/bin/\*\*"' policy.json
}

@test "learn: python with temporary files and bytecode" {
	JOBS
	mkdir pkg
	touch pkg/__init__.py
	for f in one two three; do echo "X = '$f'" >pkg/$f.py; done
	cat >job.py <<-'PY'
		import json, os, shutil, subprocess, tempfile
		import pkg.one, pkg.two, pkg.three
		with tempfile.TemporaryDirectory() as d:
		    for i in range(5):
		        open(os.path.join(d, str(i)), "w").write(str(i))
		    shutil.copytree(d, "kept", dirs_exist_ok=True)
		fd, name = tempfile.mkstemp(suffix=".log")
		os.close(fd); os.unlink(name)
		json.dump({"x": pkg.one.X}, open("result.json", "w"))
		subprocess.run(["true"], check=True)
	PY
	learn /usr/bin/python3 job.py
	enforce /usr/bin/python3 job.py
	other_job_is_denied
}

@test "learn: npm packs, installs and runs" {
	JOBS
	command -v npm >/dev/null || skip "npm is not installed"
	mkdir dep app
	echo '{"name":"dep","version":"1.0.0","main":"i.js"}' >dep/package.json
	echo 'module.exports = 7' >dep/i.js
	echo '{"name":"app","version":"1.0.0","scripts":{"start":"node -e \"process.exit(require(\\\"dep\\\") - 7)\""}}' >app/package.json
	# it asks its registry for a newer npm, and whether it gets as far before the job ends is chance
	job='export npm_config_update_notifier=false && cd dep && npm pack --silent >/dev/null && cd ../app &&
		npm install --offline --no-audit --no-fund --silent ../dep/dep-1.0.0.tgz && npm start --silent'
	learn sh -c "$job"
	enforce sh -c "$job"
	other_job_is_denied
}

@test "learn: a secret that was read is told, never proposed" {
	JOBS
	mkdir -p "$HOME/.aws"
	echo key >"$HOME/.aws/credentials"
	learn sh -c 'cat ~/.aws/credentials >copy'
	grep -q 'not proposed: file_read ~/.aws/credentials is a secret (secrets.aws)' tells
	grep -q '^//.*file_read.*secrets.aws' policy.json
	run "$VSANDBOX" run -q -p ./policy.json --name x -- cat "$HOME/.aws/credentials"
	[ "$status" -ne 0 ]
	[[ $output != key ]]
}

@test "learn --merge: both jobs pass; without it an existing file is refused before anything runs" {
	JOBS
	learn sh -c 'echo 1 >first'
	run "$VSANDBOX" learn -o policy.json -- touch started
	[ "$status" -eq 125 ]
	[[ $output == *"--merge"* ]]
	[ "$(sessions | wc -l)" -eq 1 ]
	"$VSANDBOX" learn -q --merge -o policy.json -- sh -c 'echo 2 >second'
	enforce sh -c 'echo 1 >first'
	enforce sh -c 'echo 2 >second'
	run "$VSANDBOX" run -q -p ./policy.json --name x -- sh -c 'echo 3 >third'
	[ "$status" -ne 0 ]
}

@test "learn: the exit code is the job's, and the host keeps nothing but the policy" {
	JOBS
	run "$VSANDBOX" learn -q -- sh -c 'touch made; exit 7'
	[ "$status" -eq 7 ]
	[ ! -e made ]
	[ -f learned.json ]
	[ "$(stat -c %a learned.json)" = 600 ]
}

@test "learn: hostile names cannot leave their string or comment" {
	JOBS
	mkdir "$HOME/.aws"
	name=$(printf 'x"],"allowed_read":["\n**')
	learn sh -c 'mkdir "$1" && echo 1 >"$1/f"' sh "$(printf 'a*b["]\n${HOME}\\')"
	enforce sh -c 'mkdir "$1" && echo 1 >"$1/f"' sh "$(printf 'a*b["]\n${HOME}\\')"
	rm policy.json
	touch "$HOME/.aws/$name"
	learn sh -c 'cat ~/.aws/*; true'
	"$VSANDBOX" policy show --resolved ./policy.json >resolved
	! grep -q '"\*\*"' resolved
}

@test "learn: hosts and ports; what the kernel draws anew is not written down" {
	JOBS
	cat >net.py <<-'PY'
		import socket
		for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
		    s = socket.socket(family); s.bind((host, 0)); s.listen()
		    c = socket.socket(family); c.connect(s.getsockname())
		c = socket.socket(); c.settimeout(1)
		try: c.connect(("127.0.0.1", 9))
		except OSError: pass
	PY
	"$VSANDBOX" learn -q -o policy.json --net host -- /usr/bin/python3 net.py
	grep -q '"127.0.0.1:9"' policy.json
	grep -q '"127.0.0.1"' policy.json
	grep -q '"::1"' policy.json
	"$VSANDBOX" why -p ./policy.json --host 127.0.0.1:40000 | grep -q 'decision *allow'
	"$VSANDBOX" why -p ./policy.json --host example.com:443 | grep -q 'decision *block'
}
