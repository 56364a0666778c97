/* The parent loses 222 bytes before fork and 333 after it, the child 111 and one that it has inherited. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *inherited;

__attribute__((noinline)) static void leak(size_t size)
{
    char *volatile p = malloc(size);
    p = NULL;
}

__attribute__((noinline)) static void scrub_stack(void)
{
    volatile char dead[4096];
    memset((void *)dead, 0, sizeof dead);
}

int main(void)
{
    int status;
    printf("leak_fork: start\n");
    fflush(stdout);
    inherited = malloc(444);
    leak(222);
    pid_t child = fork();
    if (child == 0) {
        inherited = NULL;
        leak(111);
        scrub_stack();
        return 0;
    }
    waitpid(child, &status, 0);
    leak(333);
    scrub_stack();
    printf("leak_fork: child %d\nleak_fork: end\n", status);
    return 0;
}
