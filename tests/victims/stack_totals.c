/* Sites whose counts are known: one goes up and down, one is freed by another thread, one only grows. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *handed[1000];

__attribute__((noinline)) static void up_and_down(void)
{
    void *blocks[10];
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 10; i++)
            blocks[i] = malloc(100);
        for (int i = round == 99; i < 10; i++)
            free(blocks[i]);
    }
}

__attribute__((noinline)) static void *hand_over(void *argument)
{
    for (int i = 0; i < 1000; i++)
        handed[i] = malloc(50);
    return argument;
}

__attribute__((noinline)) static void grow(void)
{
    char *block = malloc(200000);
    for (int i = 1; i <= 5; i++)
        block = realloc(block, 200000 + i * 100000);
    block[0] = 1;
}

int main(void)
{
    pthread_t thread;
    up_and_down();
    for (int round = 0; round < 50; round++) {
        pthread_create(&thread, NULL, hand_over, NULL);
        pthread_join(thread, NULL);
        for (int i = round == 49; i < 1000; i++)
            free(handed[i]);
    }
    grow();
    puts("stack_totals: end");
    return 0;
}
