# valgrind: a leak and a use after free are found, with a thread and a child.
cat >t.c <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *leak(void *p) { return p ? p : malloc(16); }
int main(void)
{
	pthread_t t;
	pthread_create(&t, 0, leak, 0);
	pthread_join(t, 0);
	if (fork() == 0) {
		char *c = malloc(3);
		free(c);
		_exit(c[1]);
	}
	wait(0);
	return 0;
}
END
gcc -g -O0 -pthread t.c -o t 2>/dev/null || exit 1
valgrind -q --leak-check=full --error-exitcode=9 ./t >out 2>&1
echo "exit $?"
grep -oE 'Invalid read of size 1|16 bytes in 1 blocks are definitely lost' out
