/* Planted: the read-only mapping of a file is freed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

__attribute__((noinline)) static void *make_block(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

__attribute__((noinline)) static void break_it(void *volatile p)
{
#ifdef FIXED
    munmap(p, PAGE);
#else
    free(p);
#endif
}

int main(void)
{
    printf("free_file_mapping: start\n");
    fflush(stdout);
    void *p = make_block();
    break_it(p);
    printf("free_file_mapping: end\n");
    return 0;
}
