/* A module with a global and a thread-local pointer. */
static void *global;
static __thread void *local;

void **module_global(void) { return &global; }
void **module_local(void) { return &local; }
