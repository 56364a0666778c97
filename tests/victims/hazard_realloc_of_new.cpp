// Planted: memory from new[] is given to realloc(), and its result correctly to free().
#include <cstdio>
#include <cstdlib>

int main()
{
    std::printf("hazard_realloc_of_new: start\n");
    std::fflush(stdout);
    char *volatile text = new char[8];
    text = (char *)std::realloc(text, 5000);
    std::free(text);
    std::printf("hazard_realloc_of_new: end\n");
    return 0;
}
