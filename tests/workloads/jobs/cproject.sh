# A C project: configure, make -j2, make check, make install.
set -e
tar xf "$FIXTURES/cproject.tar"
cd cproject-1.0
./configure --prefix="$PWD/inst" >configure.log
grep -c '^checking' configure.log
make -j2 >make.log 2>&1
./cproject
make check 2>&1 | grep -E '^# (PASS|FAIL|TOTAL)'
make install >/dev/null 2>&1
find inst -type f | sort
make clean >/dev/null && find . -name '*.o' | wc -l
