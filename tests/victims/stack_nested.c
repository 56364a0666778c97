/* Planted: a double free, allocated and freed each at the bottom of 12 calls without frame pointers. */
#include <stdio.h>
#include <stdlib.h>

/* Each does something after the call, so that it is no jump. */
#define CALLS(name, next) \
    __attribute__((noinline)) static void name(void **at) { next(at); __asm__ volatile("" ::: "memory"); }

__attribute__((noinline)) static void make_12(void **at) { *at = malloc(1212); __asm__ volatile("" ::: "memory"); }
CALLS(make_11, make_12)
CALLS(make_10, make_11)
CALLS(make_9, make_10)
CALLS(make_8, make_9)
CALLS(make_7, make_8)
CALLS(make_6, make_7)
CALLS(make_5, make_6)
CALLS(make_4, make_5)
CALLS(make_3, make_4)
CALLS(make_2, make_3)
CALLS(make_1, make_2)

__attribute__((noinline)) static void drop_12(void **at) { free(*at); __asm__ volatile("" ::: "memory"); }
CALLS(drop_11, drop_12)
CALLS(drop_10, drop_11)
CALLS(drop_9, drop_10)
CALLS(drop_8, drop_9)
CALLS(drop_7, drop_8)
CALLS(drop_6, drop_7)
CALLS(drop_5, drop_6)
CALLS(drop_4, drop_5)
CALLS(drop_3, drop_4)
CALLS(drop_2, drop_3)
CALLS(drop_1, drop_2)

int main(int count, char **arguments)
{
    (void)arguments;
    void *block;
    make_1(&block);
    drop_1(&block);
    if (count == 1)
        drop_1(&block);
    puts("stack_nested: end");
    return 0;
}
