/* Shown: exit() from a handler that interrupted malloc() or free(), after argv[1] microseconds. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

static void on_alarm(int signal)
{
    (void)signal;
    exit(0);
}

int main(int argc, char **argv)
{
    struct itimerval once = { { 0, 0 }, { 0, argc > 1 ? atoi(argv[1]) : 1000 } };
    void *blocks[64] = { 0 };
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &once, NULL);
    for (unsigned i = 0;; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(16 + i % 500);
    }
}
