/* Stacks of the program's own, switched to by a function whose unwind information is wrong: it leads eight words past
 * where the stack ends. First into a page that can be read and then goes away; then into one that replaces a stack that
 * had gone on there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define STACK (48 << 10)

void switch_wrongly(void (*function)(void), char *top);
__asm__(".text\n.type switch_wrongly,@function\n"
        "switch_wrongly:\n\t.cfi_startproc\n\t"
        "push %rbp\n\tmov %rsp, %rbp\n\tmov %rsi, %rsp\n\t"
        ".cfi_def_cfa %rsp, 64\n\t"
        "call *%rdi\n\tmov %rbp, %rsp\n\tpop %rbp\n\tret\n\t.cfi_endproc\n"
        ".size switch_wrongly, .-switch_wrongly\n");

static char *behind;
static void *volatile block;

__attribute__((noinline)) static void work(void)
{
    for (int i = 0; i < 4; i++) {
        block = malloc(100);
        free(block);
        if (behind && i == 1)
            munmap(behind, PAGE);
    }
}

static char *map(char *start, size_t bytes, int fixed)
{
    return mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
}

int main(void)
{
    free(malloc(7));
    char *start = map(0, STACK + PAGE, 0);
    behind = start + STACK;
    for (unsigned i = 0; i < PAGE / sizeof(long); i++)
        ((long *)behind)[i] = 0x1234567;
    switch_wrongly(work, behind);
    munmap(start, STACK);

    behind = 0;
    start = map(0, STACK, 0);
    switch_wrongly(work, start + STACK);
    munmap(start, STACK);
    start = map(start, STACK, MAP_FIXED);
    mprotect(start + STACK - PAGE, PAGE, PROT_NONE);
    switch_wrongly(work, start + STACK - PAGE);
    puts("end");
    return 0;
}
