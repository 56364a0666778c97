/* Forks as often as it is told to, one child at a time. Each child allocates at twenty places that
 * nobody knew before; the last one frees a block twice. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept;

__attribute__((noinline)) static void serve(int depth) {
    if (depth > 0) {
        serve(depth - 1);
        __asm__ volatile("");
    } else {
        kept = malloc(40);
    }
}

int main(int count, char **arguments) {
    int forks = count > 1 ? atoi(arguments[1]) : 0;
    for (int i = 0; i < forks; i++) {
        if (fork() == 0) {
            for (int depth = 0; depth < 20; depth++) serve(depth);
            _exit(0);
        }
        wait(NULL);
        usleep(300);
    }
    if (fork() == 0) {
        serve(3);
        free(kept);
        free(kept);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
