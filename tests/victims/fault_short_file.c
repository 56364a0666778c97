/* Planted: a mapped file is read where it has no page any more. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((noinline)) static int read_from(volatile char *place)
{
    return *place;
}

int main(void)
{
    printf("fault_short_file: start\n");
    fflush(stdout);
    free(malloc(10));
    int file = memfd_create("short", 0);
    ftruncate(file, 8192);
    char *bytes = mmap(NULL, 8192, PROT_READ, MAP_SHARED, file, 0);
#ifndef FIXED
    ftruncate(file, 0);
#endif
    int byte = read_from(bytes + 4096);
    close(file);
    printf("fault_short_file: end\n");
    return byte;
}
