/* One block lost for each turn of a loop that the compiler unrolls (-O2); and one lost in main. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void lose(int size) {
    static char *volatile block;
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++)
        block = malloc(size);
    block = 0;
}

int main(void) {
    lose(30);
    char *volatile own = malloc(77);
    own = 0;
    puts("end");
    return 0;
}
