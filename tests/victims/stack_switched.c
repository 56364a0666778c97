/* Work on a stack of the program's own, by instructions that no unwind information tells of: the rule for the frame that
 * switches leads past the end of that stack, where nothing can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK (64 << 10)
#define PAGE 4096

static int count;
static char *volatile kept;

__attribute__((noinline)) static void work(void)
{
    for (int i = 0; i < 1000; i++) {
        char *block = malloc(100 + i);
        memset(block, 1, 100);
        char *other = realloc(block, 300);
        count += other != 0;
        free(other);
    }
    kept = malloc(1001);
}

__attribute__((noinline, optimize("omit-frame-pointer"))) static void switch_to(char *top)
{
    __asm__ volatile("mov %%rsp, %%r12\n\t"
                     "mov %0, %%rsp\n\t"
                     "call *%1\n\t"
                     "mov %%r12, %%rsp"
                     :
                     : "r"(top), "r"(work)
                     : "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

int main(void)
{
    free(malloc(10));
    char *start = mmap(0, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(start + STACK, PAGE, PROT_NONE);
    switch_to(start + STACK);
    printf("%d\n", count);
    return 0;
}
