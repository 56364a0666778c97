/* Correct: mapped blocks move and grow in some threads and come and go in others (argv[1] seconds). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS 3

static atomic_int stop, broken;

static void *reallocs(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    while (!stop) {
        char *p = NULL;
        size_t last = 0;
        for (int i = 1; i < 12; i++) {
            size_t size = 200000 + rand_r(&seed) % 800000;
            p = realloc(p, size);
            /* The first byte stands for all of the old contents. */
            broken += last && p[0] != (char)(i - 1);
            p[0] = p[size - 1] = (char)i;
            last = size;
        }
        free(p);
    }
    return NULL;
}

static void *mallocs(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    while (!stop) {
        char *blocks[16];
        size_t sizes[16];
        for (int i = 0; i < 16; i++) {
            sizes[i] = 140000 + rand_r(&seed) % 160001;
            blocks[i] = malloc(sizes[i]);
            blocks[i][0] = blocks[i][sizes[i] - 1] = (char)i;
        }
        for (int i = 0; i < 16; i++) {
            broken += blocks[i][0] != i || blocks[i][sizes[i] - 1] != i;
            free(blocks[i]);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[2 * THREADS];
    struct timespec nap = { argc > 1 ? atoi(argv[1]) : 4, 0 };
    printf("hazard_mapped_realloc: start\n");
    fflush(stdout);
    for (size_t i = 0; i < 2 * THREADS; i++)
        pthread_create(&threads[i], NULL, i % 2 ? reallocs : mallocs, (void *)(i + 1));
    nanosleep(&nap, NULL);
    stop = 1;
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("hazard_mapped_realloc: broken %d\n", broken);
    printf("hazard_mapped_realloc: end\n");
    return broken != 0;
}
