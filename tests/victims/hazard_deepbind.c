/* Correct: a plugin that looks up its calls in libc first shares blocks with the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    printf("hazard_deepbind: start\n");
    void *plugin = dlopen("libhazard_deepbind_plugin.so", RTLD_NOW | RTLD_DEEPBIND);
    if (!plugin) {
        printf("hazard_deepbind: %s\n", dlerror());
        return 1;
    }
    char *(*copy)(const char *) = (char *(*)(const char *))dlsym(plugin, "plugin_copy");
    void *(*make)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_make");
    void *(*grow)(void *, size_t) = (void *(*)(void *, size_t))dlsym(plugin, "plugin_grow");
    void (*release)(void *) = (void (*)(void *))dlsym(plugin, "plugin_release");
    for (int round = 0; round < 100; round++) {
        /* From the program to the plugin. */
        release(malloc(100));
        release(malloc(300000));
        char *text = malloc(10);
        strcpy(text, "the text");
        text = grow(text, 5000);
        if (strcmp(text, "the text") != 0)
            printf("hazard_deepbind: the plugin's realloc loses the text\n");
        free(text);
        /* From the plugin to the program. */
        text = copy("another text");
        text = realloc(text, 20000);
        if (strcmp(text, "another text") != 0)
            printf("hazard_deepbind: realloc loses the plugin's text\n");
        release(text);
        free(copy("short"));
        free(make(100000));
        free(make(1000000));
        release(copy("within the plugin"));
    }
    dlclose(plugin);
    printf("hazard_deepbind: end\n");
    return 0;
}
