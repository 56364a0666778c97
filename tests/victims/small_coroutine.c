/* Correct: threads on stacks of a few hundred bytes, in blocks, mappings and globals, while leaks are looked for. What
 * lies beside the stacks stays as it is. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum { BESIDE = 16384, MOST = 8192, PLACES = 15 };

static char global[5][BESIDE + MOST + BESIDE] __attribute__((aligned(64)));
static const int sizes[5] = { 512, 1024, 2048, 4096, 8192 };
static volatile int running[PLACES];
static struct place {
    char *area;
    int size, number;
} places[PLACES];

static void spin(int number)
{
    running[number] = 1;
    for (;;)
        ;
}

static void *on_small_stack(void *argument)
{
    static ucontext_t contexts[PLACES];
    struct place *place = argument;
    ucontext_t *context = &contexts[place->number];
    getcontext(context);
    context->uc_stack.ss_sp = place->area + BESIDE;
    context->uc_stack.ss_size = place->size;
    makecontext(context, (void (*)(void))spin, 1, place->number);
    setcontext(context);
    return NULL;
}

static int changed(const struct place *place)
{
    int count = 0;
    for (int at = 0; at < BESIDE; at++)
        count += place->area[at] != 0x5a || place->area[BESIDE + place->size + at] != 0x5a;
    return count;
}

int main(void)
{
    int count = 0;
    for (int number = 0; number < PLACES; number++) {
        struct place *place = &places[number];
        size_t bytes = 2 * BESIDE + MOST;
        pthread_t thread;
        place->number = number;
        place->size = sizes[number % 5];
        place->area = number < 5 ? global[number] : number < 10 ? malloc(bytes)
            : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(place->area, 0x5a, bytes);
        pthread_create(&thread, NULL, on_small_stack, place);
        while (!running[number])
            usleep(100);
    }
    if (__lsan_do_recoverable_leak_check)
        for (int times = 0; times < 5; times++)
            __lsan_do_recoverable_leak_check();
    for (int number = 0; number < PLACES; number++)
        count += changed(&places[number]);
    printf("small_coroutine: %d bytes changed\n", count);
    printf("small_coroutine: end\n");
    return count != 0;
}
