/* The plugin of hazard_deepbind.c. */
#include <stdlib.h>
#include <string.h>

char *plugin_copy(const char *text)
{
    return strdup(text);
}

void *plugin_make(size_t size)
{
    return memset(malloc(size), 1, size);
}

void *plugin_grow(void *block, size_t size)
{
    return realloc(block, size);
}

void plugin_release(void *block)
{
    free(block);
}
