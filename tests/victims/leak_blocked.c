/* A thread that blocks every signal, libc's own too, and holds a block that a register alone leads to. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_barrier_t barrier;

__attribute__((noinline)) static void leak(void)
{
    char *volatile p = malloc(1237);
    p = NULL;
}

static void *run(void *argument)
{
    unsigned long all = ~0ul;
#ifndef FIXED
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
#endif
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return argument;
}

int main(void)
{
    pthread_t thread;
    printf("leak_blocked: start\n");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, run, NULL);
    pthread_barrier_wait(&barrier);
#ifndef FIXED
    leak();
#endif
    printf("leak_blocked: end\n");
    return 0;
}
