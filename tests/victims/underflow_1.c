/* Planted: a write of 1 byte before the start of one of 256 blocks of 48 bytes (break_it). */
#define NAME "underflow_1"
#define COUNT 256
#define SIZE 48
#define BEFORE 1
#define PAST 0
#include "among_neighbours.h"
