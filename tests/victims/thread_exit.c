/* Correct: threads hand lists of blocks to others and exit, and the others free them (argv[1] rounds). */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCERS 4
#define CONSUMERS 2
#define LENGTH 100

struct block {
    struct block *next;
    size_t size;
    char data[];
};
struct list {
    struct list *next;
    struct block *first;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct list *queue;
static int closed;
static long freed, broken;

static void *produce(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;
    struct list *list = malloc(sizeof *list);
    list->first = NULL;
    for (int i = 0; i < LENGTH; i++) {
        size_t size = 1 + rand_r(&seed) % 1500;
        struct block *block = malloc(sizeof *block + size);
        block->next = list->first;
        block->size = size;
        memset(block->data, (int)(size % 100), size);
        list->first = block;
        free(malloc(size)); /* What a thread frees itself is of use to nobody once it is gone. */
    }
    pthread_mutex_lock(&lock);
    list->next = queue;
    queue = list;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *consume(void *unused)
{
    pthread_mutex_lock(&lock);
    while (queue || !closed) {
        struct list *list = queue;
        if (!list) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        queue = list->next;
        pthread_mutex_unlock(&lock);
        long good = 0;
        while (list->first) {
            struct block *block = list->first;
            list->first = block->next;
            good += block->data[0] == (char)(block->size % 100) && block->data[block->size - 1] == block->data[0];
            free(block);
        }
        free(list);
        pthread_mutex_lock(&lock);
        freed += LENGTH;
        broken += LENGTH - good;
    }
    pthread_mutex_unlock(&lock);
    return unused;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 200;
    pthread_t consumers[CONSUMERS], producers[PRODUCERS];
    pthread_attr_t small;
    printf("thread_exit: start\n");
    fflush(stdout);
    pthread_attr_init(&small);
    if (pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN) != 0)
        printf("thread_exit: no small stacks\n");
    for (int i = 0; i < CONSUMERS; i++)
        pthread_create(&consumers[i], NULL, consume, NULL);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < PRODUCERS; i++)
            if (pthread_create(&producers[i], i % 2 ? &small : NULL, produce, (void *)(size_t)(round * 10 + i)) != 0)
                return 1;
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(producers[i], NULL);
    }
    pthread_mutex_lock(&lock);
    closed = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    pthread_attr_destroy(&small);
    if (broken || freed != (long)rounds * PRODUCERS * LENGTH) {
        printf("thread_exit: %ld freed, %ld broken\n", freed, broken);
        return 1;
    }
    printf("thread_exit: ok\n");
    printf("thread_exit: end\n");
    return 0;
}
