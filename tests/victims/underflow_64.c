/* Planted: a write of 64 bytes before the start of one of 256 blocks of 48 bytes (break_it). */
#define NAME "underflow_64"
#define COUNT 256
#define SIZE 48
#define BEFORE 64
#define PAST 0
#include "among_neighbours.h"
