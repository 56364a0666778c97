/* Planted: a write of 1 MiB past the end of one of 40000 blocks of 64 bytes (break_it). */
#define NAME "overflow_1mib"
#define COUNT 40000
#define SIZE 64
#define BEFORE 0
#define PAST (1024 * 1024)
#include "among_neighbours.h"
