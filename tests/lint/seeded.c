/* For `make analyze`: an analyzer that does not see this double free sees nothing. */
#include <stdlib.h>

int main(int argc, char **argv)
{
	char *p = malloc(10);

	(void)argv;
	free(p);
	if (argc > 1)
		free(p);
	return 0;
}
