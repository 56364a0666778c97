/* Coroutines on stacks of 4 KiB that allocate and free: the stack is walked on them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

static ucontext_t home, away;
static int rounds;

__attribute__((noinline)) static void work(void)
{
    for (int i = 0; i < 50; i++) {
        void *volatile block = malloc(100 + i);
        void *volatile cleared = calloc(1, 10 + i);
        block = realloc(block, 300 + i);
        free(block);
        free(cleared);
        rounds++;
        swapcontext(&away, &home);
    }
}

int main(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages, 4096, PROT_NONE);
    getcontext(&away);
    away.uc_stack.ss_sp = pages + 4096;
    away.uc_stack.ss_size = 4096;
    away.uc_link = &home;
    makecontext(&away, work, 0);
    for (int i = 0; i < 51; i++)
        swapcontext(&home, &away);
    printf("%d rounds on 4 KiB\nstack_small: end\n", rounds);
    return 0;
}
