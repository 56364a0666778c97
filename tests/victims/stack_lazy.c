/* Calls a function of a library for the first time: bound lazily, through the loader's trampoline. */
#include <stdio.h>

int chosen(int half);

int main(void)
{
    printf("%d\n", chosen(21));
    return 0;
}
