/* For `make analyze`: an analyzer that does not see each of these defects sees nothing. */
#include <stdlib.h>

int seeded_double_free(int twice);
int seeded_leak(int early);
int seeded_null(int none);

int seeded_double_free(int twice)
{
	char *p = malloc(10);

	free(p);
	if (twice)
		free(p);
	return 0;
}

int seeded_leak(int early)
{
	char *p = malloc(10);

	if (early)
		return -1;
	free(p);
	return 0;
}

int seeded_null(int none)
{
	static int there;
	int *p = none ? NULL : &there;

	return *p;
}
