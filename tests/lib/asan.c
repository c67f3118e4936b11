/*
 * Of the programs of MODE=asan: no leak is looked for when they end. LeakSanitizer traces its own
 * process, which those that confined themselves may not, and the siblings that are started with an
 * environment of their own hear nothing of ASAN_OPTIONS. The unit tests and replays look for leaks.
 */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
