/* Correct: exit() on the smallest thread stack, or ("signal") on a signal stack of 8 KiB. */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *kept;

static void *leave(void *unused)
{
    exit(3);
    return unused;
}

static void on_fault(int signal)
{
    (void)signal;
    exit(3);
}

static void fault_on_signal_stack(void)
{
    /* The page below stays out of reach, so that an overflow does not go unseen. */
    char *pages = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = { .ss_sp = pages + 4096, .ss_size = 2 * 4096 };
    struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };
    mprotect(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE);
    if (sigaltstack(&stack, NULL) != 0) {
        perror("sigaltstack");
        exit(1);
    }
    sigaction(SIGSEGV, &action, NULL);
    *(volatile char *)pages = 1;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    pthread_attr_t small;
    printf("hazard_exit_small_stack: start\n");
    kept = malloc(50);
    if (argc > 1 && strcmp(argv[1], "signal") == 0)
        fault_on_signal_stack();
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &small, leave, NULL) == 0)
        pthread_join(thread, NULL);
    printf("hazard_exit_small_stack: end\n");
    return 1;
}
