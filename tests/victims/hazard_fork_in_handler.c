/* Correct but for its handler, which forks while the program is in fork() or malloc(). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int handled, failed;

static void fork_once(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        failed++;
}

static void on_alarm(int signal)
{
    (void)signal;
    fork_once();
    handled++;
}

int main(void)
{
    struct itimerval storm = { { 0, 3000 }, { 0, 3000 } }, calm = { { 0, 0 }, { 0, 0 } };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct timespec start, now;
    char *blocks[64] = { 0 };
    printf("hazard_fork_in_handler: start\n");
    fflush(stdout);
    sigaction(SIGALRM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    setitimer(ITIMER_REAL, &storm, NULL);
    do {
        for (int i = 0; i < 64; i++) {
            free(blocks[i]);
            blocks[i] = malloc(16 + 100 * i);
            memset(blocks[i], i, 16 + 100 * i);
        }
        fork_once();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9 < 2);
    setitimer(ITIMER_REAL, &calm, NULL);
    signal(SIGALRM, SIG_IGN);
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    if (failed || !handled)
        printf("hazard_fork_in_handler: failed %d handled %d\n", failed, handled);
    else
        printf("hazard_fork_in_handler: ok\n");
    printf("hazard_fork_in_handler: end\n");
    return failed || !handled;
}
