/* Gives its child a root directory in which nothing of the run can be reached, where that child has a heap error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 2) {
        /* Without /proc the variable leads nowhere. */
        setenv("MALLOCOP_TREE", argv[2], 1);
        execl(argv[1], argv[1], "again", NULL);
        return 2;
    }
    char *block = malloc(24);
    free(block);
    free(block);
    return 0;
}
