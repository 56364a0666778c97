/* Correct: the heap is used on the smallest thread stack and on the smallest signal stack. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char signal_stack[SIGSTKSZ];
static volatile int on_signal_stack;
static volatile int handled;

static void use_heap(void)
{
    static const size_t sizes[] = { 1, 16, 100, 1000, 5000, 40000, 200000, 3000000 };
    char *kept[8];
    for (int i = 0; i < 8; i++) {
        kept[i] = malloc(sizes[i]);
        memset(kept[i], i, sizes[i]);
        char *p = calloc(sizes[i], 2);
        p = realloc(p, 5 * sizes[i]);
        p[5 * sizes[i] - 1] = 1;
        free(p);
        kept[i] = realloc(kept[i], sizes[i] / 2 + 1);
    }
    for (int i = 0; i < 8; i++)
        free(kept[i]);
}

static void on_usr1(int signal)
{
    (void)signal;
    char *local = (char *)&signal;
    on_signal_stack = local >= signal_stack && local < signal_stack + sizeof signal_stack;
    use_heap();
    handled++;
}

static void *small_thread(void *unused)
{
    use_heap();
    stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };
    struct sigaction action = { .sa_handler = on_usr1, .sa_flags = SA_ONSTACK };
    if (sigaltstack(&stack, NULL) != 0)
        return unused;
    sigaction(SIGUSR1, &action, NULL);
    /* No heap call is under way now, so that every allocator must cope with the signal. */
    pthread_kill(pthread_self(), SIGUSR1);
    use_heap();
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_attr_t small;
    printf("small_stack: start\n");
    fflush(stdout);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &small, small_thread, NULL) != 0) {
        printf("small_stack: no thread\n");
        return 1;
    }
    pthread_join(thread, NULL);
    pthread_attr_destroy(&small);
    printf("small_stack: handled %d on the signal stack %d\n", handled, on_signal_stack);
    printf("small_stack: end\n");
    return !(handled && on_signal_stack);
}
