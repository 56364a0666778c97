/* Blocks that threads return and nobody keeps: one by return, one by pthread_exit; and one that main takes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *by_return(void *argument) {
    return malloc(111);
}

static void *by_exit(void *argument) {
    pthread_exit(malloc(222));
}

static void *taken;

int main(void) {
    pthread_t threads[3];
    pthread_create(&threads[0], 0, by_return, 0);
    pthread_create(&threads[1], 0, by_exit, 0);
    pthread_create(&threads[2], 0, by_return, 0);
    pthread_join(threads[0], 0);
    pthread_join(threads[1], 0);
    pthread_join(threads[2], &taken);
    puts("end");
    return 0;
}
