/* Planted: the address of a local array of another live thread is freed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_barrier_t barrier;
static char *volatile shared;

__attribute__((noinline)) static char *make_block(char *local)
{
#ifdef FIXED
    (void)local;
    return malloc(64);
#else
    return local;
#endif
}

static void *lender(void *unused)
{
    char local[64] = "on the stack of the thread";
    shared = make_block(local);
    pthread_barrier_wait(&barrier);
    /* main frees the pointer here. */
    pthread_barrier_wait(&barrier);
    return unused;
}

__attribute__((noinline)) static void break_it(char *volatile p)
{
    free(p);
}

int main(void)
{
    printf("free_other_stack: start\n");
    fflush(stdout);
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, lender, NULL);
    pthread_barrier_wait(&barrier);
    break_it(shared);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    printf("free_other_stack: end\n");
    return 0;
}
