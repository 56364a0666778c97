/* Correct: main returns while 8 detached threads are busy in the heap. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS 8

static void *busy(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    char *slots[64] = { 0 };
    for (;;) {
        int i = rand_r(&seed) % 64;
        size_t size = 1 + rand_r(&seed) % 3000;
        if (rand_r(&seed) % 3 == 0) {
            slots[i] = realloc(slots[i], size);
        } else {
            free(slots[i]);
            slots[i] = malloc(size);
        }
        slots[i][0] = slots[i][size - 1] = 1;
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    struct timespec nap = { 0, 2000000 };
    printf("exit_busy: start\n");
    fflush(stdout);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&thread, NULL, busy, (void *)(i + 1));
        pthread_detach(thread);
    }
    nanosleep(&nap, NULL);
    printf("exit_busy: end\n");
    return 0;
}
