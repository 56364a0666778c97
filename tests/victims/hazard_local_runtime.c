/* Correct: a C program loads a C++ plugin, whose runtime is in the plugin's scope only. */
#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
    printf("hazard_local_runtime: start\n");
    void *plugin = dlopen("libhazard_local_runtime_plugin.so", RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        printf("hazard_local_runtime: %s\n", dlerror());
        return 1;
    }
    int (*caught)(void) = (int (*)(void))dlsym(plugin, "plugin_catches");
    int (*null)(void) = (int (*)(void))dlsym(plugin, "plugin_gets_null");
    printf("hazard_local_runtime: caught %d\n", caught());
    printf("hazard_local_runtime: null %d\n", null());
    printf("hazard_local_runtime: end\n");
    return 0;
}
