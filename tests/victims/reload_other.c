/* Two libraries at one address, one after the other; both lose a block. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *before = NULL;
    int same = 0;
    for (int i = 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        void (*lose)(void) = (void (*)(void))dlsym(library, "lose");
        same += (void *)lose == before;
        before = (void *)lose;
        lose();
        dlclose(library);
    }
    printf("%d of %d at the same address\n", same, argc - 2);
    return 0;
}
