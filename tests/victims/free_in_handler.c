/* A signal handler that interrupts malloc and free, and frees what is no block: the address 1. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static void on_alarm(int number) {
    free((void *)1);
    (void)number;
}

static double pairs_for(int count) {
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < count; i++)
        free(malloc(i % 3000));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    return (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
}

int main(void) {
    struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, 0);
    pairs_for(2000000);
    setitimer(ITIMER_REAL, &never, 0);
    double nanoseconds = pairs_for(300000) / 300000;
    printf("%s\n", nanoseconds < 1500 ? "fast" : "slow");
    return 0;
}
