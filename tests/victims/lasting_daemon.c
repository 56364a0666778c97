/* Leaves a daemon behind, whose number it prints: that one lives until it is killed, half a minute at most, with
   nothing but /dev/null for its first three descriptors. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    int ready[2];
    char byte = 0;
    free(malloc(100));
    if (pipe(ready) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        free(malloc(200));
        alarm(30);
        close(ready[0]);
        write(ready[1], "x", 1);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    read(ready[0], &byte, 1);
    printf("%d\n", (int)child);
    return byte == 'x' ? 0 : 1;
}
