/* Correct but for its handler, which takes aligned blocks while the program is in malloc(). */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define RUNS 5000

static volatile int runs, failed, askew;

static void on_alarm(int signal)
{
    (void)signal;
    size_t alignment = (size_t)64 << runs % 7;
    void *p = NULL;
    if (posix_memalign(&p, alignment, 100) != 0 || !p) {
        failed++;
    } else {
        askew += (uintptr_t)p % alignment != 0;
        memset(p, 1, 100);
        free(p);
    }
    runs++;
}

int main(void)
{
    struct itimerval storm = { { 0, 100 }, { 0, 100 } }, calm = { { 0, 0 }, { 0, 0 } };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    char *blocks[64] = { 0 };
    printf("hazard_aligned_storm: start\n");
    fflush(stdout);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &storm, NULL);
    for (unsigned i = 0; runs < RUNS; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(16 + i % 500);
        if (!blocks[i % 64])
            failed++;
    }
    setitimer(ITIMER_REAL, &calm, NULL);
    signal(SIGALRM, SIG_IGN);
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    if (failed || askew)
        printf("hazard_aligned_storm: failed %d askew %d\n", failed, askew);
    else
        printf("hazard_aligned_storm: ok\n");
    printf("hazard_aligned_storm: end\n");
    return failed || askew;
}
