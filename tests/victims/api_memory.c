/* Correct: blocks have the alignment, the size and the contents that glibc promises. */
#define NAME "api_memory"
#include "api_checks.h"
#include <dirent.h>
#include <wchar.h>

static size_t power_of_two_from(size_t least)
{
    size_t power = 16;
    while (power < least)
        power *= 2;
    return power;
}

/* --- Alignment and size --- */

static void aligned_in_three_ways(size_t alignment, size_t size)
{
    size_t least = power_of_two_from(alignment);
    void *c = pattern;
    char *a = memalign(alignment, size);
    char *b = aligned_alloc(alignment, size);
    if (alignment % sizeof(void *)) {
        CHECK(posix_memalign(&c, alignment, size) == EINVAL && c == pattern);
        c = malloc(size);
    } else {
        CHECK(posix_memalign(&c, alignment, size) == 0);
    }
    CHECK(is_aligned(a, least) && is_aligned(b, least) && is_aligned(c, least));
    size_t all_a = malloc_usable_size(a);
    size_t all_b = malloc_usable_size(b);
    size_t all_c = malloc_usable_size(c);
    CHECK(all_a >= size && all_b >= size && all_c >= size);
    fill(a, all_a, 1);
    fill(b, all_b, 2);
    fill(c, all_c, 3);
    CHECK(holds(a, all_a, 1) && holds(b, all_b, 2) && holds(c, all_c, 3));
    free(b);
    free(a);
    free(c);
}

static void all_alignments(void)
{
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
        for (size_t size = 0; size <= 70000; size += 1 + size / 4 + size % 7)
            aligned_in_three_ways(alignment, size);
}

/* glibc takes the next power of two, but for posix_memalign(). */
static void uneven_alignments(void)
{
    static const size_t uneven[] = {
        0, 3, 5, 7, 12, 17, 24, 33, 48, 100, 1000, 3000, 5000, 65537, 100000, (1 << 20) - 1,
    };
    for (size_t i = 0; i < COUNT(uneven); i++) {
        size_t least = power_of_two_from(uneven[i]);
        char *volatile a = memalign(uneven[i], 3000);
        char *volatile b = aligned_alloc(uneven[i], 3000);
        CHECK(is_aligned(a, least) && is_aligned(b, least));
        fill(a, 3000, 1);
        fill(b, 3000, 2);
        CHECK(holds(a, 3000, 1) && holds(b, 3000, 2));
        free(a);
        free(b);
        void *untouched = pattern;
        errno = KEPT;
        CHECK(posix_memalign(&untouched, uneven[i], 3000) == EINVAL);
        CHECK(untouched == pattern && errno == KEPT);
    }
}

static void whole_pages(void)
{
    for (size_t size = 0; size <= 70000; size += 1 + size / 4 + size % 7) {
        size_t rounded = (size + page - 1) / page * page;
        char *volatile a = valloc(size);
        char *volatile b = pvalloc(size);
        CHECK(is_aligned(a, page) && is_aligned(b, page));
        CHECK(malloc_usable_size(a) >= size && malloc_usable_size(b) >= rounded);
        fill(a, malloc_usable_size(a), 1);
        fill(b, malloc_usable_size(b), 2);
        CHECK(holds(a, size, 1) && holds(b, rounded, 2));
        b = realloc(b, rounded + 100);
        CHECK(holds(b, rounded, 2));
        free(a);
        free(b);
    }
}

static void usable(void)
{
    for (size_t size = 1; size <= 300000; size += 1 + size / 5 + size % 11) {
        char *volatile a = calloc(1, size);
        char *volatile b = realloc(malloc(size / 2 + 1), size + 1);
        CHECK(is_aligned(a, 16) && is_aligned(b, 16));
        size_t all_a = malloc_usable_size(a);
        size_t all_b = malloc_usable_size(b);
        CHECK(all_a >= size && all_b >= size + 1);
        fill(a, all_a, 1);
        fill(b, all_b, 2);
        CHECK(malloc_usable_size(a) == all_a && malloc_usable_size(b) == all_b);
        a = realloc(a, all_a);
        b = realloc(b, all_b);
        CHECK(holds(a, all_a, 1) && holds(b, all_b, 2));
        free(a);
        free(b);
    }
}

/* --- Contents --- */

static void *from_way(int way, size_t size)
{
    void *p = NULL;
    switch (way) {
    case 0:
        return malloc(size);
    case 1:
        return calloc(size, 1);
    case 2:
        return memalign(64, size);
    case 3:
        return posix_memalign(&p, 4096, size) ? NULL : p;
    default:
        return aligned_alloc(1 << 17, size);
    }
}

static void resized_from_each_to_each(void)
{
    static const size_t sizes[] = {
        1, 25, 500, 4000, 40000, 120000, 131072, 140000, 1 << 20, 3000001, 8 << 20,
    };
    for (size_t from = 0; from < COUNT(sizes); from++) {
        for (size_t to = 0; to < COUNT(sizes); to++) {
            int way = (from + 2 * to) % 5;
            size_t common = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            char *volatile p = from_way(way, sizes[from]);
            CHECK(p);
            fill(p, sizes[from], from);
            p = realloc(p, sizes[to]);
            CHECK(is_aligned(p, 16) && malloc_usable_size(p) >= sizes[to]);
            CHECK(holds(p, common, from));
            fill(p, sizes[to], to);
            p = realloc(p, sizes[from]);
            CHECK(is_aligned(p, 16) && holds(p, common, to));
            free(p);
        }
    }
}

static void resized_in_small_steps(void)
{
    char *volatile p = NULL;
    size_t size = 0;
    for (size_t next = 1; next <= 220000; next += next < 2000 ? 1 : 4093) {
        p = realloc(p, next);
        CHECK(holds(p, size, 0));
        fill(p, next, 0);
        size = next;
    }
    while (size > 0) {
        size -= size > 2000 ? 4093 : 1;
        if (size == 0)
            break;
        p = realloc(p, size);
        CHECK(holds(p, size, 0));
    }
    CHECK(realloc(p, 0) == NULL);
    for (int way = 0; way < 5; way++) {
        CHECK(realloc(from_way(way, 300), 0) == NULL);
        CHECK(realloc(from_way(way, 1 << 20), 0) == NULL);
    }
    p = realloc(NULL, 0);
    CHECK(p);
    free(p);
}

static void zero_after_dirt(void)
{
    for (size_t size = 1; size <= 200000; size += 1 + size / 64 + size * 31 % 13) {
        char *volatile dirty[] = {malloc(size), malloc(size + 40), memalign(256, size)};
        for (size_t i = 0; i < COUNT(dirty); i++)
            fill(dirty[i], malloc_usable_size(dirty[i]), i + 7);
        for (size_t i = 0; i < COUNT(dirty); i++)
            free(dirty[i]);
        char *volatile clean[] = {calloc(size, 1), calloc(1, size), calloc((size + 2) / 3, 3)};
        for (size_t i = 0; i < COUNT(clean); i++)
            CHECK(is_aligned(clean[i], 16) && is_zero(clean[i], size));
        for (size_t i = 0; i < COUNT(clean); i++) {
            fill(clean[i], size, i + 1);
            free(clean[i]);
        }
    }
}

/* --- Blocks that others make --- */

static void texts_from_libc(void)
{
    static const wchar_t wide[] = L"wide text";
    char *volatile a = strndup("a text that is cut", 6);
    CHECK(a && strcmp(a, "a text") == 0);
    free(a);
    wchar_t *volatile w = wcsdup(wide);
    CHECK(w && wcscmp(w, wide) == 0);
    free(w);
    a = realpath("/", NULL);
    CHECK(a && strcmp(a, "/") == 0);
    free(a);
    a = getcwd(NULL, 0);
    CHECK(a && a[0] == '/');
    free(a);
    char *printed = NULL;
    CHECK(asprintf(&printed, "%0300000d", 7) == 300000 && printed[299999] == '7');
    printed = realloc(printed, 400000);
    CHECK(printed && printed[299999] == '7');
    free(printed);
    struct dirent **entries = NULL;
    int count = scandir("/proc/self", &entries, NULL, alphasort);
    CHECK(count > 2);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static void streams_from_libc(void)
{
    char *text = NULL, *line = NULL;
    size_t length = 0, room = 0;
    FILE *out = open_memstream(&text, &length);
    CHECK(out);
    for (int i = 0; i < 20; i++)
        fprintf(out, "%0*d\n", 1 + i * i * 50, i);
    CHECK(fclose(out) == 0 && strlen(text) == length);
    FILE *in = fmemopen(text, length, "r");
    CHECK(in);
    for (int i = 0; i < 20; i++) {
        CHECK(getline(&line, &room, in) == 2 + i * i * 50);
        CHECK(malloc_usable_size(line) >= room && atoi(line) == i);
    }
    CHECK(getline(&line, &room, in) == -1);
    rewind(in);
    free(line);
    line = NULL;
    room = 0;
    CHECK(getdelim(&line, &room, '\0', in) == (ssize_t)length && strcmp(line, text) == 0);
    fclose(in);
    free(line);
    free(text);
}

/* While nothing is tuned yet, glibc moves its threshold up when it frees a mapped block. */
int main(void)
{
    prepare();
    resized_from_each_to_each();
    resized_in_small_steps();
    tune();
    resized_from_each_to_each();
    all_alignments();
    uneven_alignments();
    whole_pages();
    usable();
    zero_after_dirt();
    texts_from_libc();
    streams_from_libc();
    printf(NAME ": end\n");
    return 0;
}
