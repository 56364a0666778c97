/* Accesses beside a block, or after its free, each in a child of its own. A line of the file named is one: `r` or `w`, the
 * offset from the block's start, how many bytes, `live` or `freed`, the block's size, `plain` or `call`, and which block of
 * its site it is. For each line it prints the child's id, its exit status and the signal that ended it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long sink;

__attribute__((noinline)) static char *make(size_t size) { return malloc(size); }

static void touch(char *at, size_t width, int writes) {
    if (width == 1 && writes)
        *(volatile char *)at = 'w';
    else if (width == 1)
        sink += *(volatile char *)at;
    for (size_t done = 0; width >= 8 && done < width; done += 8)
        if (writes)
            *(volatile long *)(at + done) = 0x7777777777777777;
        else
            sink += *(volatile long *)(at + done);
}

static void call(char *at, size_t width, int writes) {
    int pipes[2];
    static char much[100];
    if (pipe(pipes))
        exit(3);
    if (!writes)
        sink += write(pipes[1], at, width);
    else if (write(pipes[1], much, 100) == 100)
        sink += read(pipes[0], at, width);
}

static void look(char touches, long at, size_t width, const char *life, size_t size, const char *how, int number) {
    char *block = 0;
    for (int made = 0; made < number; made++)
        block = make(size);
    if (!strcmp(life, "freed"))
        free(block);
    (strcmp(how, "call") ? touch : call)(block + at, width, touches == 'w');
    if (strcmp(life, "freed"))
        free(block);
}

int main(int count, char **arguments) {
    static char line[100];
    FILE *cells = count > 1 ? fopen(arguments[1], "r") : NULL;
    if (!cells)
        return 2;
    while (fgets(line, sizeof line, cells)) {
        char touches, life[16], how[16];
        long at;
        size_t width, size;
        int number, status;
        if (sscanf(line, "%c %ld %zu %15s %zu %15s %d", &touches, &at, &width, life, &size, how, &number) != 7)
            return 2;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            look(touches, at, width, life, size, how, number);
            close(fileno(cells));
            exit(0);
        }
        waitpid(child, &status, 0);
        printf("%d %d %d\n", child, WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return 0;
}
