#!/bin/bash
# Ratios to a native run, all launchers in one run, A/B/A/B interleaved, medians.
#
#   bench/bench.sh [ROW...]     rows: start python spawn make git npm stat files exit ops floor memory idle many
#   make bench BENCH="start ops"
#
# A command that fails or does not end is named below the table, and the exit status is 1.
#
# Launchers: native; vsandbox; bwrap (Debian's has no overlay: the work directory bound read-write);
# overlay (unshare and a mounted overlay on the work directory: what bwrap with an overlay does);
# strace (--seccomp-bpf, %file,%network,%process: the syscall rows only).
#
# VSANDBOX, BENCH_BIN  what is measured, and with what     VSANDBOX_RUN  arguments of `vsandbox run`
# VSANDBOX_BASE  another build of it, to be compared in the ops row (one without a journal, say)
# ROUNDS               runs a launcher of a short row (default 15; long rows take 3)
# LIMIT                seconds that one run may take (default 120)
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
BENCH_BIN=${BENCH_BIN:-$top/build/release/bench}
VSANDBOX_RUN=${VSANDBOX_RUN:--q --policy dev --on-exit discard}
ROUNDS=${ROUNDS:-15}
LONG=${LONG:-3}
LIMIT=${LIMIT:-120}
fixtures=${FIXTURES:-$top/build/fixtures}

# A private tmpfs: no disk noise, and the cheapest file operations, so the harshest ratios.
if [ "$(id -u)" = 0 ] && [ -z "${BENCH_INSIDE:-}" ]; then
	exec env BENCH_INSIDE=1 unshare -m --propagation private "$0" "$@"
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX") || exit 1
[ "$(id -u)" != 0 ] || mount -t tmpfs -o mode=755 bench "$work" || exit 1
children=()
cleanup() {
	local pid
	for pid in "${children[@]}"; do kill "$pid" 2>/dev/null; done
	[ "$(id -u)" != 0 ] || umount -l "$work"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir "$work/w" "$work/state" "$work/bin" "$work/ovl"
cp "$BENCH_BIN"/{ops,timed,floor} "$work/bin/"
export XDG_STATE_HOME=$work/state HOME=$work/home
mkdir "$work/home"
cd "$work/w" || exit 1
[ $# -gt 0 ] || set -- start python spawn make git npm stat files exit ops floor memory idle many
wanted=" $* "

cat >"$work/bin/overlay" <<'EOF'
#!/bin/sh
# The work directory becomes an overlay of itself, in namespaces of its own.
ip link set lo up 2>/dev/null
o=$(mktemp -d "$1/ovl/XXXXXX") && mkdir "$o/u" "$o/k" && cd "$1/w" || exit 1
shift
mount -t overlay overlay -o "lowerdir=$PWD,upperdir=$o/u,workdir=$o/k" "$PWD" && cd "$PWD" && "$@"
code=$?
cd / && rm -rf "$o" 2>/dev/null
exit $code
EOF
chmod +x "$work/bin/overlay"

# launch NAME: sets prefix to what stands before the command; false when it is not there
launch() {
	case $1 in
	native) prefix=() ;;
	vsandbox)
		# shellcheck disable=SC2206
		prefix=("$VSANDBOX" run $VSANDBOX_RUN --)
		;;
	base)
		# shellcheck disable=SC2206
		prefix=("$VSANDBOX_BASE" run $VSANDBOX_RUN --)
		;;
	bwrap)
		command -v bwrap >/dev/null || return 1
		prefix=(bwrap --ro-bind / / --bind "$work" "$work" --proc /proc --dev /dev --unshare-user
			--unshare-pid --unshare-ipc --unshare-uts --unshare-net --die-with-parent --)
		;;
	overlay)
		[ "$(id -u)" = 0 ] || return 1
		prefix=(unshare -mpinu --fork --mount-proc "$work/bin/overlay" "$work")
		;;
	strace)
		command -v strace >/dev/null || return 1
		prefix=(strace -f --seccomp-bpf -e "trace=%file,%network,%process" -o /dev/null)
		;;
	esac
}

median() {
	sort -n | awk '{ a[NR] = $1 } END { if (NR) printf "%.3f", NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}

best() {
	sort -n | head -n 1
}

heading() {
	printf '\n%-18s %10s %10s' row native best
	local l
	for l in "${launchers[@]}"; do
		[ "$l" = native ] || printf ' %18s' "$l"
	done
	printf '\n'
}

# row NAME ROUNDS SETUP COMMAND...: SETUP is shell, untimed, before each run
row() {
	local name=$1 rounds=$2 setup=$3 l i prefix
	shift 3
	rm -f "$work"/t.* "$work"/failed.*
	for ((i = 0; i < rounds; i++)); do
		for l in "${launchers[@]}"; do
			launch "$l" || continue
			[ -z "$setup" ] || (eval "$setup") >/dev/null 2>&1 || failed "$name" "$l" "before it: $setup"
			if ! timeout -k 5 "$LIMIT" "$work/bin/timed" ${exit_mode:+--exit} "$work/out" "${prefix[@]}" "$@" >"$work/us"; then
				{ cat "$work/out" && echo "(status is not 0, or no end within $LIMIT s)"; } \
					>"$work/failed.$l"
				continue
			fi
			cat "$work/us" >>"$work/t.$l"
		done
	done
	report "$name" ms 1000
}

# failed ROW LAUNCHER WHY...
failed() {
	failures+="$1 under $2: ${*:3}"$'\n'
}

# From $work/t.LAUNCHER, a figure a line: medians, and ratios of medians (of best runs in brackets).
report() {
	local name=$1 unit=$2 divide=$3 l base m first
	if [ ! -s "$work/t.native" ]; then
		printf '%-18s failed natively\n' "$name"
		failed "$name" native "$(tail -n 3 "$work/failed.native" 2>/dev/null | LC_ALL=C tr -c '[:print:]' ' ')"
		return
	fi
	base=$(median <"$work/t.native")
	first=$(best <"$work/t.native")
	printf '%-18s %7s %s %7s %s' "$name" "$(awk "BEGIN { printf \"%.2f\", $base / $divide }")" "$unit" \
		"$(awk "BEGIN { printf \"%.2f\", $first / $divide }")" "$unit"
	for l in "${launchers[@]}"; do
		[ "$l" != native ] || continue
		if [ -s "$work/t.$l" ]; then
			m=$(median <"$work/t.$l")
			printf ' %18s' "$(awk -v m="$m" -v b="$base" -v x="$(best <"$work/t.$l")" -v f="$first" -v d="$divide" \
				'BEGIN { printf "%.2f x%.2f (%.2f)", m / d, m / b, x / f }')"
		else
			launch "$l" && printf ' %18s' failed || printf ' %18s' 'not here'
		fi
		# Also when other rounds of it went well.
		[ ! -s "$work/failed.$l" ] ||
			failed "$name" "$l" "$(tail -n 3 "$work/failed.$l" | LC_ALL=C tr -c '[:print:]' ' ')"
	done
	printf '\n'
}

want() {
	case $wanted in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

failures=
launchers=(native vsandbox bwrap overlay)
"$top/tests/workloads/prepare.sh" "$fixtures" >/dev/null || exit 1
echo "vsandbox run $VSANDBOX_RUN; $(uname -r), $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg)"
echo 'median of a launcher, ratio of medians, (ratio of best runs)'
heading
want start && row start "$ROUNDS" '' true
want python && row python3-pass "$ROUNDS" '' /usr/bin/python3 -c pass
# shellcheck disable=SC2016
want spawn && row spawn300 5 '' sh -c 'i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done'
if want make; then
	tar xf "$fixtures/cproject.tar" && (cd cproject-1.0 && ./configure >/dev/null 2>&1)
	row make-j2 "$LONG" 'make -C cproject-1.0 clean' make -s -j2 -C cproject-1.0
	rm -rf cproject-1.0
fi
if want git; then
	git clone -q "$fixtures/repo.git" repo
	git config --global --add safe.directory '*'
	row git-status "$ROUNDS" '' git -C repo status --short
	row git-clone-local 5 'rm -rf clone' git clone -q --local repo clone
	row git-checkout 5 'git -C repo checkout -q main' git -C repo checkout -q HEAD~300
	rm -rf repo clone
fi
if want npm; then
	cp -r "$fixtures/npm/project" p && cp -r "$fixtures/npm/cache" cache
	row npm-ci "$LONG" 'rm -rf p/node_modules' sh -c \
		'cd p && exec npm ci --offline --cache ../cache --no-audit --no-fund --loglevel=error --no-update-notifier'
	rm -rf p cache
fi
if want stat; then
	mkdir s && (cd s && for ((d = 0; d < 200; d++)); do mkdir $d && (cd $d && touch {0..99}); done)
	row stat20k 5 '' sh -c 'find s -type f -print0 | xargs -0 stat -c %s | wc -l'
	rm -rf s
fi
if want files; then
	row files5k 5 '' "$work/bin/ops" files 5000
	row files20k "$LONG" '' "$work/bin/ops" files 20000
fi
if want exit; then
	exit_mode=1
	row exit-latency "$ROUNDS" '' "$work/bin/ops" now
	exit_mode=
fi
if want ops; then
	launchers=(native vsandbox ${VSANDBOX_BASE:+base} bwrap overlay strace)
	printf '\nper call, microseconds'
	heading
	rm -f "$work"/ops.*
	for round in 1 2 3; do
		for l in "${launchers[@]}"; do
			launch "$l" || continue
			timeout -k 5 "$LIMIT" "${prefix[@]}" "$work/bin/ops" all 200 >>"$work/ops.$l" 2>"$work/err" ||
				failed "per call, round $round" "$l" "$(tail -n 1 "$work/err" | LC_ALL=C tr -c '[:print:]' ' ')"
		done
	done
	rm -f "$work"/failed.*
	for name in open-read open-write stat create-unlink overwrite-4k overwrite-1m rename mkdir-rmdir fork-exec connect; do
		rm -f "$work"/t.*
		for l in "${launchers[@]}"; do
			awk -v n="$name" '$1 == n { print $2 }' "$work/ops.$l" 2>/dev/null >"$work/t.$l"
		done
		report "$name" us 1
	done
	launchers=(native vsandbox bwrap overlay)
fi
if want floor; then
	printf '\nkernel floor: a bare notify round trip, microseconds per call\n'
	timeout -k 5 "$LIMIT" "$work/bin/floor" >"$work/out" || failed floor native "status is not 0"
	sed 's/^/  /' "$work/out"
fi

# sleepers LAUNCHER N: N sandboxes of a sleep that nobody else has ($tag), their launchers in $pids; false
# when not all are there in time
sleepers() {
	local l=$1 n=$2 prefix i
	pids=()
	tag=$((3600 + RANDOM)).$RANDOM
	launch "$l" || return 1
	for ((i = 0; i < n; i++)); do
		"${prefix[@]}" sleep "$tag" </dev/null >/dev/null 2>&1 &
		pids+=($!)
	done
	children=("${pids[@]}")
	for ((i = 0; i < LIMIT * 5; i++)); do
		[ "$(pgrep -cxf "sleep $tag")" -lt "$n" ] || return 0
		sleep 0.2
	done
	return 1
}

# Ends what sleepers started, within bounds.
wake() {
	local i
	kill "${pids[@]}" 2>/dev/null
	for ((i = 0; i < 150; i++)); do
		kill -0 "${pids[@]}" 2>/dev/null || break
		sleep 0.2
	done
	kill -9 "${pids[@]}" 2>/dev/null
	wait "${pids[@]}" 2>/dev/null
	children=()
}

# Our processes: the launchers and what stems from them, but for the sleeps.
ours() {
	ps -e -o pid=,ppid=,args= | awk -v roots="${pids[*]}" -v tag="sleep $tag" '
		BEGIN { n = split(roots, r, " "); for (i = 1; i <= n; i++) in_tree[r[i]] = 1 }
		{ parent[$1] = $2; pid[NR] = $1; sub(/^ *[0-9]+ +[0-9]+ +/, ""); args[NR] = $0 }
		END {
			do {
				more = 0
				for (i = 1; i <= NR; i++)
					if (!in_tree[pid[i]] && in_tree[parent[pid[i]]])
						more = in_tree[pid[i]] = 1
			} while (more)
			for (i = 1; i <= NR; i++)
				if (in_tree[pid[i]] && args[i] != tag)
					print pid[i]
		}'
}

# pss_of LAUNCHER N: proportional set size of our processes, KiB a sandbox
pss_of() {
	local l=$1 n=$2 p
	if sleepers "$l" "$n"; then
		for p in $(ours); do
			awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null
		done | awk -v n="$n" '{ s += $1 } END { printf "%.0f", s / n }' >"$work/pss"
	else
		echo failed >"$work/pss"
		failed "memory of $n" "$l" "not all $n sandboxes started"
	fi
	wake
}

# Processor time of our processes so far, in nanoseconds.
busy_ns() {
	local p
	for p in $(ours); do cat "/proc/$p"/task/*/schedstat 2>/dev/null; done |
		awk '{ s += $1 } END { printf "%.0f", s }'
}

if want memory; then
	printf '\nPSS of our processes, KiB a sandbox\n'
	for l in vsandbox bwrap; do
		launch "$l" || continue
		for n in 1 100; do
			pss_of "$l" "$n"
			printf '  %-10s %3d at once: %s\n' "$l" "$n" "$(cat "$work/pss")"
		done
	done
fi
if want idle; then
	printf '\nprocessor time of our processes while the agent sleeps, per cent of one processor\n'
	for l in vsandbox bwrap; do
		launch "$l" || continue
		if sleepers "$l" 1; then
			sleep 2
			before=$(busy_ns)
			sleep 10
			printf '  %-10s %s\n' "$l" "$(awk "BEGIN { printf \"%.3f\", ($(busy_ns) - $before) / 1e8 }")"
		else
			failed idle "$l" "did not start"
		fi
		wake
	done
fi
if want many; then
	printf '\n100 at once'
	heading
	rm -f "$work"/t.* "$work"/failed.*
	for round in 1 2 3; do
		for l in "${launchers[@]}"; do
			launch "$l" || continue
			start=${EPOCHREALTIME/./}
			pids=()
			for ((i = 0; i < 100; i++)); do
				timeout -k 5 "$LIMIT" "${prefix[@]}" true </dev/null >/dev/null 2>&1 &
				pids+=($!)
			done
			bad=0
			for p in "${pids[@]}"; do wait "$p" || bad=$((bad + 1)); done
			echo $((${EPOCHREALTIME/./} - start)) >>"$work/t.$l"
			[ "$bad" = 0 ] || failed "many100, round $round" "$l" "$bad of 100 failed"
		done
	done
	report many100 ms 1000
fi
[ -z "$failures" ] || {
	printf '\nfailed:\n%s' "$failures"
	exit 1
}
