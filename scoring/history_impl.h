/* The inside of a history, for the files of this floor that read it. */
#pragma once

#include "scoring/baseline.h"
#include "scoring/history.h"
#include "scoring/window.h"

struct history {
	struct windows windows;
	struct baseline baseline;
};
