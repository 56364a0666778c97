/* 10 000 calls deep, an allocation at each; then up and down again from other places. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 10000 };

__attribute__((noinline)) static long down(int depth)
{
    char *volatile block = malloc(24);
    long sum = depth > 0 ? down(depth - 1) : 0;
    block[0] = (char)depth;
    sum += block[0] & 1;
    free(block);
    return sum;
}

__attribute__((noinline)) static long other_way(int depth)
{
    volatile char padding[100] = {1};
    return down(depth) + padding[3];
}

static void *work(void *argument)
{
    long sum = down(DEPTH) + other_way(200) + other_way(100) + down(200);
    printf("%ld\n", sum);
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16 << 20);
    work(NULL);
    pthread_create(&thread, &attributes, work, NULL);
    pthread_join(thread, NULL);
    return 0;
}
