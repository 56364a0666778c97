/* Writes, each in a child of its own: past, before or after free. A line of the file named is one: size of the block, the
 * place as an offset from its start, how many bytes, their value; then `freed`, `live`, or a number of pairs of malloc and
 * free between free and write. For each line it prints the child's id, its exit status and the signal that ended it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_there(size_t size, long at, size_t width, int value, const char *then) {
    char *volatile before = malloc(size), *volatile block = malloc(size), *volatile behind = malloc(size);
    memset(before, 0x11, size);
    memset(block, 0x22, size);
    memset(behind, 0x33, size);
    if (then[0] >= '0' && then[0] <= '9') {
        free(block);
        for (long pairs = strtol(then, 0, 0); pairs > 0; pairs--)
            free(malloc(size));
        memset(block + at, value, width);
        return;
    }
    memset(block + at, value, width);
    if (!strcmp(then, "freed"))
        free(block);
    free(before);
    free(behind);
}

int main(int count, char **arguments) {
    static char line[100];
    FILE *cells = count > 1 ? fopen(arguments[1], "r") : NULL;
    if (!cells)
        return 2;
    while (fgets(line, sizeof line, cells)) {
        size_t size, width;
        long at;
        int value;
        char then[16];
        if (sscanf(line, "%zu %ld %zu %d %15s", &size, &at, &width, &value, then) != 5)
            return 2;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            write_there(size, at, width, value, then);
            /* Not the parent's place in the file. */
            close(fileno(cells));
            exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("%d %d %d\n", child, WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return 0;
}
