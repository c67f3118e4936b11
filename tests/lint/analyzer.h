/*
 * For `make analyze`, before each file: what gcc cannot see of another file, that these return a
 * negative number. Without it every "if (r < 0) return r;" has a way on which nothing was set.
 */
#pragma once
#include "base/err.h"

#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_sys(...) (err_sys(__VA_ARGS__), -1)
