/* Work on a stack of the program's own, by instructions that no unwind information tells of: the rule for the frame that
 * switches leads past the end of that stack, where nothing can be read. With an argument: by instructions that tell. */
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

void switch_told(char *top, void (*function)(void));
__asm__(".text\n.globl switch_told\n.type switch_told,@function\n"
        "switch_told:\n\t.cfi_startproc\n\t"
        "push %rbp\n\t.cfi_def_cfa_offset 16\n\t.cfi_offset %rbp, -16\n\t"
        "mov %rsp, %rbp\n\t.cfi_def_cfa_register %rbp\n\t"
        "mov %rdi, %rsp\n\tcall *%rsi\n\tmov %rbp, %rsp\n\t"
        "pop %rbp\n\t.cfi_def_cfa %rsp, 8\n\tret\n\t.cfi_endproc\n"
        ".size switch_told, .-switch_told\n");

int main(int argc, char **argv)
{
    (void)argv;
    free(malloc(10));
    char *start = mmap(0, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(start + STACK, PAGE, PROT_NONE);
    if (argc > 1)
        switch_told(start + STACK, work);
    else
        switch_to(start + STACK);
    printf("%d\n", count);
    return 0;
}
