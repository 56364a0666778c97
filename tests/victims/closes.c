/* Closes the first three descriptors, opens its data there, and has a heap error. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    for (int fd = 0; fd < 3; fd++)
        open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    char *block = malloc(24);
    write(2, "data\n", 5);
    block[24] = 1;
    free(block);
    write(1, "more\n", 5);
    return argc - 2;
}
