/* Planted: a write of 64 bytes past the end of one of 256 blocks of 48 bytes (break_it). */
#define NAME "overflow_64"
#define COUNT 256
#define SIZE 48
#define BEFORE 0
#define PAST 64
#include "among_neighbours.h"
