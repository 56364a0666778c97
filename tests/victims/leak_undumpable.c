/* A process that must not be dumped: of its own it cannot open /proc/self/mem. Its one block hangs on a global. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *kept = &kept;

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    kept = malloc(1237);
    if (getuid() == 0 && setuid(65534) != 0)
        return 1;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    printf("leak_undumpable: end\n");
    return 0;
}
