/* Planted: a write of 4096 bytes past the end of one of 512 blocks of 100 bytes (break_it). */
#define NAME "overflow_4096"
#define COUNT 512
#define SIZE 100
#define BEFORE 0
#define PAST 4096
#include "among_neighbours.h"
