#!/bin/sh
# Makes, once, what the workloads and the bench work on: build/fixtures. Needs the npm registry the
# first time; afterwards nothing leaves the machine.
#
#   tests/workloads/prepare.sh [DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${1:-$top/build/fixtures}
mkdir -p "$out"

# A C project with a configure script: 60 files, a library, a program, a test.
if [ ! -e "$out/cproject.tar" ]; then
	d=$out/cproject-1.0
	rm -rf "$d" && mkdir -p "$d/src"
	cat >"$d/configure.ac" <<'EOF'
AC_INIT([cproject], [1.0])
AM_INIT_AUTOMAKE([foreign subdir-objects])
AC_PROG_CC
AC_PROG_RANLIB
AM_PROG_AR
AC_CHECK_HEADERS([unistd.h sys/mman.h sys/epoll.h pthread.h sys/event.h])
AC_CHECK_FUNCS([memfd_create getrandom strlcpy kqueue])
AC_C_BIGENDIAN
AC_CHECK_SIZEOF([long])
AC_CONFIG_HEADERS([config.h])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
EOF
	{
		echo 'AM_CFLAGS = -O2 -Wall'
		echo 'noinst_LIBRARIES = libparts.a'
		printf 'libparts_a_SOURCES ='
		i=0
		while [ $i -lt 60 ]; do
			printf ' src/part%02d.c' $i
			i=$((i + 1))
		done
		echo
		echo 'bin_PROGRAMS = cproject'
		echo 'cproject_SOURCES = src/main.c'
		echo 'cproject_LDADD = libparts.a'
		echo 'TESTS = check.sh'
		echo 'EXTRA_DIST = check.sh'
	} >"$d/Makefile.am"
	i=0
	: >"$d/src/calls.inc"
	while [ $i -lt 60 ]; do
		n=$(printf %02d $i)
		{
			echo '#include "config.h"'
			echo '#include <stdio.h>'
			echo '#include <stdlib.h>'
			echo '#include <string.h>'
			echo '#include <math.h>'
			echo '#include <pthread.h>'
			j=0
			while [ $j -lt 40 ]; do
				echo "static int step${n}_$j(int a, int b) { int t[64]; for (int i = 0; i < 64; i++)" \
					"t[i] = a * (i + $j) ^ b; for (int i = 1; i < 64; i++) t[i] += t[i - 1] % ($j + 3);" \
					"return t[a & 63] + t[b & 63]; }"
				j=$((j + 1))
			done
			echo "int part$n(int x) { int r = x;"
			j=0
			while [ $j -lt 40 ]; do
				echo "r = step${n}_$j(r & 0xffff, x);"
				j=$((j + 1))
			done
			echo 'return r; }'
		} >"$d/src/part$n.c"
		echo "int part$n(int x); " >>"$d/src/decl.inc"
		echo "sum += (unsigned)part$n((int)(sum & 0xfff));" >>"$d/src/calls.inc"
		i=$((i + 1))
	done
	cat >"$d/src/main.c" <<'EOF'
#include <stdio.h>
#include "decl.inc"
int main(void)
{
	unsigned sum = 1;
#include "calls.inc"
	printf("sum %u\n", sum);
	return 0;
}
EOF
	printf '#!/bin/sh\n./cproject >out.1 && ./cproject >out.2 && cmp out.1 out.2\n' >"$d/check.sh"
	chmod +x "$d/check.sh"
	(cd "$d" && autoreconf -i >/dev/null 2>&1)
	(cd "$out" && tar cf cproject.tar.new cproject-1.0 && mv cproject.tar.new cproject.tar)
	rm -rf "$d"
fi

# npm: a cache from which `npm ci --offline` works.
if [ ! -e "$out/npm/done" ] || ! cmp -s "$here/npm/package.json" "$out/npm/project/package.json"; then
	rm -rf "$out/npm" "$out/npm.new" && mkdir -p "$out/npm.new/project"
	cp "$here/npm"/* "$out/npm.new/project/"
	(cd "$out/npm.new/project" && npm ci --cache "$out/npm.new/cache" --no-audit --no-fund \
		--loglevel=error >/dev/null && rm -rf node_modules)
	rm -rf "$out/npm.new/cache/_logs"
	touch "$out/npm.new/done"
	mv "$out/npm.new" "$out/npm"
fi

# Two wheels, by hand: the second needs the first.
if [ ! -e "$out/wheels/done" ]; then
	mkdir -p "$out/wheels"
	/usr/bin/python3 - "$out/wheels" <<'EOF'
import base64, hashlib, sys, zipfile
def wheel(name, version, source, requires=()):
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {r}\n" for r in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-run = {name}:main\n",
    }
    record = "".join(
        f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b'=').decode()},{len(t)}\n"
        for n, t in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-{version}-py3-none-any.whl", "w") as z:
        for n, t in files.items():
            z.writestr(n, t)
wheel("lowerpart", "1.0", "def value(): return 41\n")
wheel("upperpart", "2.0", "import lowerpart\ndef main(): print(lowerpart.value() + 1)\n", ["lowerpart>=1"])
EOF
	touch "$out/wheels/done"
fi

# A git repository with history: 400 commits over 1,500 files, made by fast-import with fixed dates.
if [ ! -e "$out/repo.git/done" ]; then
	rm -rf "$out/repo.git"
	git init -q --bare "$out/repo.git"
	awk 'BEGIN {
		for (c = 1; c <= 400; c++) {
			printf "commit refs/heads/main\nmark :%d\n", c
			printf "committer A U Thor <author@example.invalid> %d +0000\n", 1700000000 + c * 60
			m = "change " c
			printf "data %d\n%s\n", length(m), m
			if (c > 1) printf "from :%d\n", c - 1
			n = c == 1 ? 1500 : 12
			for (i = 0; i < n; i++) {
				f = c == 1 ? i : (c * 37 + i * 101) % 1500
				t = ""
				for (k = 0; k < 30; k++) t = t "line " k " of file " f " at " (k % 5 ? 0 : c) "\n"
				printf "M 100644 inline d%02d/e%d/f%d.txt\ndata %d\n%s\n", f % 40, f % 7, f, length(t), t
			}
		}
	}' /dev/null | git -C "$out/repo.git" fast-import --quiet
	git -C "$out/repo.git" symbolic-ref HEAD refs/heads/main
	touch "$out/repo.git/done"
fi
chmod -R a+rX "$out"
