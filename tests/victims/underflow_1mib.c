/* Planted: a write of 1 MiB before the start of one of 40000 blocks of 64 bytes (break_it). */
#define NAME "underflow_1mib"
#define COUNT 40000
#define SIZE 64
#define BEFORE (1024 * 1024)
#define PAST 0
#include "among_neighbours.h"
