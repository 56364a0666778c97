/* Coroutines that allocate at changing depths, on stacks that are mapped anew, in two threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { COROUTINES = 8, ROUNDS = 300, STACK = 64 << 10 };

struct state {
    ucontext_t main, each[COROUTINES];
    unsigned random;
    int finished;
};

static __thread struct state *mine;

__attribute__((noinline)) static void deeper(int number, int depth)
{
    void *volatile block = malloc(16 + depth * 8);
    if (depth > 0)
        deeper(number, depth - 1);
    else
        swapcontext(&mine->each[number], &mine->main);
    free(block);
}

static void body(int number, int depth)
{
    for (int i = 0; i < 3; i++)
        deeper(number, depth + i);
    mine->finished++;
}

static void *work(void *argument)
{
    struct state state = {.random = (unsigned)(size_t)argument};
    mine = &state;
    for (int round = 0; round < ROUNDS; round++) {
        void *stacks[COROUTINES];
        state.finished = 0;
        for (int i = 0; i < COROUTINES; i++) {
            state.random = state.random * 1664525u + 1013904223u;
            stacks[i] = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            getcontext(&state.each[i]);
            state.each[i].uc_stack.ss_sp = stacks[i];
            state.each[i].uc_stack.ss_size = STACK - state.random % 16 * 256;
            state.each[i].uc_link = &state.main;
            makecontext(&state.each[i], (void (*)(void))body, 2, i, (int)(state.random >> 24) % 40);
        }
        for (int turn = 0; turn < 4; turn++)
            for (int i = 0; i < COROUTINES; i++)
                swapcontext(&state.main, &state.each[i]);
        if (state.finished != COROUTINES)
            abort();
        for (int i = 0; i < COROUTINES; i++)
            munmap(stacks[i], STACK);
    }
    return argument;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, work, (void *)7);
    work((void *)3);
    pthread_join(thread, NULL);
    puts("all coroutines finished");
    return 0;
}
