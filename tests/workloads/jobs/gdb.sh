# run: --allow-ptrace
# gdb: a breakpoint, a backtrace, a variable; strace counts calls.
printf 'int f(int x)\n{\n\treturn x + 1;\n}\nint main(void)\n{\n\treturn f(2);\n}\n' >t.c
gcc -g -O0 t.c -o t || exit 1
gdb -nx -batch -ex 'set debuginfod enabled off' -ex 'break f' -ex run -ex bt -ex 'print x' -ex continue ./t 2>/dev/null |
	grep -E '^#|^\$|exited' | sed 's/process [0-9]*/process/'
strace -qq -e trace=exit_group ./t 2>&1 | tail -n 1
