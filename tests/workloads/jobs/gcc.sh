# gcc: compile, link, shared library, LTO, precompiled header, error exit.
set -e
echo 'int twice(int x) { return 2 * x; }' >lib.c
printf '#include <stdio.h>\nint twice(int);\nint main(void) { printf("%%d\\n", twice(21)); return 4; }\n' >main.c
gcc -O2 -fPIC -shared -o libtwice.so lib.c && gcc -o prog main.c -L. -ltwice -Wl,-rpath,"$PWD"
./prog || echo "exit $?"
gcc -flto -O2 main.c lib.c -o lto && (./lto || echo "exit $?")
echo '#include <stdio.h>' >all.h && gcc all.h && ls all.h.gch
echo 'int main( {' >bad.c
gcc bad.c -o bad 2>/dev/null || echo "bad: exit $?"
ar rcs lib.a libtwice.so && nm prog | grep -c ' T '
strip prog && (./prog || echo "exit $?")
