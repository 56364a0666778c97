/* A thousand threads at once that each use blocks of sizes from 1 to 32 KiB: resident memory in MiB. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 1000 };

static pthread_barrier_t all;

static void *work(void *argument) {
    for (int size = 1024; size <= 32768; size *= 2) {
        char *block = malloc(size);
        memset(block, 1, size);
        free(block);
    }
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    return argument;
}

int main(void) {
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&all, 0, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], &attributes, work, 0);
    pthread_barrier_wait(&all);
    char line[100];
    FILE *status = fopen("/proc/self/status", "r");
    long kib = 0;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(status);
    pthread_barrier_wait(&all);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
    printf("%ld\n", kib >> 10);
    return 0;
}
