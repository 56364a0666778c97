/* Correct: 10,000 threads stand still while leaks are looked for; how much memory and how many mappings that takes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static pthread_barrier_t barrier;

static void *stand(void *argument)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static long lines_of_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    long lines = 0;
    for (int byte; (byte = getc(file)) != EOF;)
        lines += byte == '\n';
    fclose(file);
    return lines;
}

int main(void)
{
    enum { COUNT = 10000 };
    static pthread_t threads[COUNT];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_barrier_init(&barrier, NULL, COUNT + 1);
    for (int number = 0; number < COUNT; number++)
        if (pthread_create(&threads[number], &attributes, stand, NULL) != 0) {
            printf("many_threads: only %d\n", number);
            exit(0);
        }
    pthread_barrier_wait(&barrier);
    if (__lsan_do_recoverable_leak_check)
        printf("leaks %d\n", __lsan_do_recoverable_leak_check());
    /* Two a thread are its own. */
    printf("mappings %ld\n", lines_of_maps() - 2 * COUNT);
    pthread_barrier_wait(&barrier);
    for (int number = 0; number < COUNT; number++)
        pthread_join(threads[number], NULL);
    printf("many_threads: end\n");
    return 0;
}
