#include <stdlib.h>
#if SIZE == 1111
#line 10 "alpha.c"
__attribute__((noinline)) static void alpha(void) { *(void *volatile *)&(void *){malloc(SIZE)} = NULL; }
void lose(void) { alpha(); }
#else
#line 20 "beta.c"
__attribute__((noinline)) static void beta(void) { *(void *volatile *)&(void *){malloc(SIZE)} = NULL; }
void lose(void) { beta(); }
#endif
