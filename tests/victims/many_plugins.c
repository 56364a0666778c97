/* Loads and unloads every library named, one after the other: each loses a block. The last one stays. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
    char line[4096];
    FILE *names = count > 1 ? fopen(arguments[1], "r") : NULL;
    void *library = NULL;
    if (!names)
        return 2;
    while (fscanf(names, "%4095s", line) == 1) {
        if (library)
            dlclose(library);
        library = dlopen(line, RTLD_NOW);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
        ((void (*)(void))dlsym(library, "lose"))();
    }
    fclose(names);
    return 0;
}
