#!/bin/sh
# What make install puts on a machine, checked by the programs that will read it. TAP.
#
#   VSANDBOX=... tests/packaging/run.sh
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
root=$work/root

# claim TEXT COMMAND...
claim() {
	text=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		tap_ok "$text"
	else
		tap_not_ok "$text"
		tap_note_file "$work/out" 40
	fi
}

# with PROGRAM CLAIM COMMAND...: a claim that PROGRAM has to check.
with() {
	program=$1
	shift
	if command -v "$program" >/dev/null; then
		claim "$@"
	else
		tap_skip "$1" "$program is not installed"
	fi
}

claim 'make install' make -s install DESTDIR="$root" PREFIX=/usr/local
files='bin/vsandbox libexec/vsandbox/vsandbox-errands share/vsandbox/policies/ci.json share/man/man1/vsandbox-ci.1
	lib/systemd/system/vsandbox-oci.socket lib/systemd/user/vsandbox-oci.service lib/systemd/system/vsandbox-serve.service
	lib/tmpfiles.d/vsandbox.conf lib/sysusers.d/vsandbox.conf share/containers/oci/hooks.d/vsandbox.json
	share/vsandbox/containers/containerd.toml share/vsandbox/kubernetes/30-agent.yaml share/vsandbox/ci/vsandbox-gha-hook.sh'
missing=
for f in $files; do
	[ -e "$root/usr/local/$f" ] || missing="$missing $f"
done
tap_is 'what belongs to it is there' "$missing" ''
tap_is 'what names a program names the installed one' "$(grep -rl /usr/bin/vsandbox "$root/usr/local/lib" "$root/usr/local/share/containers")" ''

# Units name programs by their final path; for the check those of the staging tree.
units() {
	mkdir -p "$work/$1"
	for u in "$root/usr/local/lib/systemd/$1"/*; do
		# a page that is not installed is no fault of the unit; that it exists is checked below
		sed "s|/usr/local/|$root/usr/local/|; /^Documentation=/d" "$u" >"$work/$1/${u##*/}"
	done
	# what is said is a complaint even where the exit code is 0
	XDG_RUNTIME_DIR=$work systemd-analyze "--$1" --man=no verify "$work/$1"/* >"$work/said" 2>&1
	rc=$?
	cat "$work/said"
	[ "$rc" -eq 0 ] && ! grep -q vsandbox "$work/said"
}
with systemd-analyze 'systemd understands the system units' units system
with systemd-analyze 'systemd understands the user units' units user
bad_unit() {
	mkdir -p "$work/bad"
	printf '[Service]\nType=nosuch\nExecStart=/nonexistent/program\n' >"$work/bad/vsandbox-bad.service"
	! systemd-analyze --man=no verify "$work/bad/vsandbox-bad.service" || return 1
}
with systemd-analyze '… and would not understand a broken one' bad_unit
exposure() {
	systemd-analyze security --offline=true --threshold=25 "$work/system/vsandbox-serve.service"
}
with systemd-analyze 'the unit of the control plane gives little away (exposure 2.5 of 10 at most)' exposure
pages() {
	bad=0
	grep -rhoE 'man:[a-z-]+\([0-9]\)' "$root/usr/local/lib/systemd" | sort -u | sed 's/man:\(.*\)(\(.\))/\1.\2/' >"$work/pages"
	while read -r page; do
		[ -e "man/$page" ] || { echo "$page"; bad=1; }
	done <"$work/pages"
	return $bad
}
if [ -e man/vsandbox-oci.8 ]; then
	claim 'the pages that units name exist' pages
else
	tap_skip 'the pages that units name exist' 'vsandbox-oci(8) is not written yet'
fi
tmpfiles() {
	systemd-tmpfiles --root="$root" --create "$root/usr/local/lib/tmpfiles.d/vsandbox.conf" &&
		[ "$(stat -c %a "$root/run/vsandbox")" = 711 ]
}
sysusers() {
	mkdir -p "$root/etc"
	systemd-sysusers --root="$root" "$root/usr/local/lib/sysusers.d/vsandbox.conf" && grep -q '^vsandbox:' "$root/etc/passwd"
}
if [ "$(id -u)" -eq 0 ]; then
	with systemd-tmpfiles 'tmpfiles makes the directory of the socket' tmpfiles
	with systemd-sysusers 'sysusers makes the user of the control plane' sysusers
else
	tap_skip 'tmpfiles makes the directory of the socket' 'root alone gives it its owner'
	tap_skip 'sysusers makes the user of the control plane' 'root alone writes passwd'
fi
parsed() {
	python3 - "$root/usr/local/share" <<-'PY'
		import json, pathlib, sys, tomllib
		share = pathlib.Path(sys.argv[1])
		hook = json.loads((share / "containers/oci/hooks.d/vsandbox.json").read_text())
		assert hook["version"] == "1.0.0" and hook["stages"] == ["precreate"], hook
		assert hook["hook"]["path"].startswith("/") and hook["hook"]["env"] == []
		containers = share / "vsandbox/containers"
		for f in containers.iterdir():
		    text = f.read_text()
		    json.loads(text) if f.suffix == ".json" else tomllib.loads(text)
		cri = tomllib.loads((containers / "containerd.toml").read_text())["plugins"]["io.containerd.grpc.v1.cri"]
		runtime = cri["containerd"]["runtimes"]["vsandbox"]
		assert runtime["options"]["BinaryName"] == "/usr/local/bin/vsandbox-runc", runtime
	PY
}
with python3 'hooks and snippets are the JSON and TOML that they say' parsed
with yamllint 'the manifests are well-formed YAML' \
	yamllint -s -d '{extends: default, rules: {line-length: {max: 130}}}' packaging/kubernetes
claim 'make uninstall' make -s uninstall DESTDIR="$root" PREFIX=/usr/local
tap_is 'and nothing is left' "$(find "$root/usr/local" ! -type d)" ''
tap_done
