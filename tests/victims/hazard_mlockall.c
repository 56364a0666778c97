/* Correct: mlockall() makes everything mapped resident, which must not be much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    char line[200];
    long resident = -1;
    printf("hazard_mlockall: start\n");
    free(malloc(1000));
    /* Where a low RLIMIT_MEMLOCK forbids it, there is nothing to see. */
    if (mlockall(MCL_CURRENT) != 0)
        perror("mlockall");
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmRSS: %ld kB", &resident);
    fclose(status);
    printf("hazard_mlockall: small %d\n", resident > 0 && resident < 100000);
    printf("hazard_mlockall: end\n");
    return 0;
}
