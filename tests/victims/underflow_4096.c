/* Planted: a write of 4096 bytes before the start of one of 512 blocks of 100 bytes (break_it). */
#define NAME "underflow_4096"
#define COUNT 512
#define SIZE 100
#define BEFORE 4096
#define PAST 0
#include "among_neighbours.h"
