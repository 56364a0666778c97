/* Correct: a cancellation is pending while a request that cannot be met makes mallocop warn. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int reached;
static volatile size_t huge = SIZE_MAX;

static void *cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    void *block = malloc(huge);
    reached = block ? 2 : 1;
    pthread_testcancel();
    reached = 3;
    return unused;
}

int main(void)
{
    pthread_t thread;
    void *result;
    printf("hazard_cancel: start\n");
    pthread_create(&thread, NULL, cancelled, NULL);
    pthread_join(thread, &result);
    printf("hazard_cancel: reached %d cancelled %d\n", reached, result == PTHREAD_CANCELED);
    free(malloc(100));
    printf("hazard_cancel: end\n");
    return 0;
}
