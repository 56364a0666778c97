/* Planted: a reference into a vector is used after the vector has grown. */
#include <cstdio>
#include <vector>

__attribute__((noinline)) static int through(int **volatile place)
{
    return **place;
}

int main()
{
    std::printf("fault_vector_grown: start\n");
    std::fflush(stdout);
    int number = 0;
    std::vector<int *> all(4, &number);
    int **first = &all[0];
    all.push_back(&number);
#ifdef FIXED
    first = &all[0];
#endif
    int result = through(first);
    std::printf("fault_vector_grown: end\n");
    return result;
}
