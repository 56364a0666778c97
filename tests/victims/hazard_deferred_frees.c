/* Correct but for its handler, which frees thousands of blocks on the smallest thread stack. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#define BLOCKS 3500
#define ROUNDS 400

static void *blocks[BLOCKS];
static volatile int filled, rounds;

static void on_alarm(int signal)
{
    (void)signal;
    if (filled != BLOCKS)
        return;
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    filled = 0;
    rounds++;
}

static void mask_alarm(int how)
{
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(how, &alarms, NULL);
}

static void *small_thread(void *unused)
{
    struct itimerval storm = { { 0, 500 }, { 0, 500 } }, calm = { { 0, 0 }, { 0, 0 } };
    mask_alarm(SIG_UNBLOCK);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &storm, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        if (filled == 0) {
            for (int i = 0; i < BLOCKS; i++)
                blocks[i] = malloc(20);
            filled = BLOCKS;
        }
        /* The handler should meet a call under way, which defers its frees. */
        for (int i = 0; i < 3000 && filled; i++)
            free(malloc(300000));
    }
    setitimer(ITIMER_REAL, &calm, NULL);
    mask_alarm(SIG_BLOCK);
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_attr_t small;
    printf("hazard_deferred_frees: start\n");
    fflush(stdout);
    mask_alarm(SIG_BLOCK);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &small, small_thread, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    printf("hazard_deferred_frees: %s\n", rounds > 0 ? "ok" : "no signal");
    printf("hazard_deferred_frees: end\n");
    return rounds == 0;
}
