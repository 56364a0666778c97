/* Planted: a double free with output in the buffer; more of it than a pipe takes at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    static char large[100000];
    char *block = malloc(10);
    const char *how = count > 1 ? arguments[1] : "";
    if (strcmp(how, "large") == 0)
        setvbuf(stdout, large, _IOFBF, sizeof large);
    int lines = strcmp(how, "large") == 0 ? 5000 : 10;
    for (int line = 0; line < lines; line++)
        printf("line %d\n", line);
    if (strcmp(how, "locked") == 0)
        flockfile(stdout);
    if (strcmp(how, "forked") == 0) {
        int status;
        if (fork() == 0) {
            free(block);
            free(block);
        }
        wait(&status);
        return 0;
    }
    free(block);
    free(block);
    return 0;
}
