// Calls each checked function of libc's with one byte more than a block of 24 bytes has; with FIXED defined, with as many
// as it has. The argument names the function; without one, all are called.
#define _GNU_SOURCE
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wchar.h>

#ifdef FIXED
#define BAD 0
#else
#define BAD 1
#endif

enum { SIZE = 24, WIDE = SIZE / 4 };

// Volatile, so that the compiler neither inlines the calls nor warns.
static volatile size_t more = BAD;
static char *volatile block, *volatile other;
static wchar_t *volatile wide, *volatile other_wide;
static volatile long sink;
static int ends[2];

static void *fresh(void) { return malloc(SIZE); }

// A text as long as its block, without a NUL unless FIXED.
static char *text(void)
{
    char *made = fresh();
    memset(made, 'a', SIZE);
    if (!BAD)
        made[SIZE - 1] = 0;
    return made;
}

static wchar_t *wide_text(void)
{
    wchar_t *made = fresh();
    for (int at = 0; at < WIDE; at++)
        made[at] = 'a';
    if (!BAD)
        made[WIDE - 1] = 0;
    return made;
}

static char long_text[64];
static wchar_t long_wide[64];

static int compare(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }
static int compare_with(const void *a, const void *b, void *with) { return compare(a, b) + !with; }

static FILE *file(void)
{
    FILE *made = tmpfile();
    fputs("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\n", made);
    rewind(made);
    return made;
}

static void print_list(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(block, 64, format, list);
    va_end(list);
}

static void print_without_bound(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsprintf(block, format, list);
    va_end(list);
}

#define N (SIZE + more)
#define W (WIDE + more)
#define CALL(name, ...) \
    static void name##_case(void) { __VA_ARGS__; }
#define CALLS \
    CALL(memcpy, memcpy(block, long_text, N)) \
    CALL(memcpy_from, memcpy(long_text, block, N)) \
    CALL(memmove, memmove(block, long_text, N)) \
    CALL(mempcpy, mempcpy(block, long_text, N)) \
    CALL(memset, memset(block, 1, N)) \
    CALL(memccpy, memccpy(block, BAD ? long_text : "aaab", 'b', N)) \
    CALL(memchr, sink = (long)memchr(text(), 0, BAD ? N : -1UL)) \
    CALL(memrchr, sink = (long)memrchr(block, 'b', N)) \
    CALL(rawmemchr, sink = (long)rawmemchr(text(), 0)) \
    CALL(memmem, sink = (long)memmem(block, N, "b", 1)) \
    CALL(memcmp, sink = memcmp(block, block + BAD, N - !BAD)) \
    CALL(bcmp, sink = bcmp(text(), long_text, BAD ? N : SIZE)) \
    CALL(bcopy, bcopy(long_text, block, N)) \
    CALL(bzero, bzero(block, N)) \
    CALL(explicit_bzero, explicit_bzero(block, N)) \
    CALL(strlen, sink = strlen(text())) \
    CALL(strnlen, sink = strnlen(text(), -1UL)) \
    CALL(strcpy, strcpy(block, long_text + 63 - N + !BAD)) \
    CALL(strcpy_from, strcpy(long_text, text())) \
    CALL(stpcpy, stpcpy(block, long_text + 63 - N + !BAD)) \
    CALL(strncpy, strncpy(block, "a", N)) \
    CALL(stpncpy, stpncpy(block, "a", N)) \
    CALL(strcat, strcpy(block, "abcd"); strcat(block, long_text + 63 - N + 4 + !BAD)) \
    CALL(strncat, strcpy(block, "abcd"); strncat(block, long_text, N - 5)) \
    CALL(strchr, sink = (long)strchr(text(), BAD ? 'b' : 'a')) \
    CALL(strchrnul, sink = (long)strchrnul(text(), 'b')) \
    CALL(strrchr, sink = (long)strrchr(text(), 'a')) \
    CALL(strstr, sink = (long)strstr(text(), "b")) \
    CALL(strcasestr, sink = (long)strcasestr(text(), "b")) \
    CALL(strspn, sink = strspn(text(), "a")) \
    CALL(strcspn, sink = strcspn(text(), "b")) \
    CALL(strpbrk, sink = (long)strpbrk(text(), "b")) \
    CALL(strdup, free(strdup(text()))) \
    CALL(strndup, free(strndup(text(), 64))) \
    CALL(strcoll, sink = strcoll(text(), "b")) \
    CALL(strxfrm, sink = strxfrm(block, long_text + 63 - N + !BAD, 64)) \
    CALL(strcmp, sink = strcmp(text(), long_text)) \
    CALL(strncmp, sink = strncmp(text(), long_text, 64)) \
    CALL(strcasecmp, sink = strcasecmp(text(), long_text)) \
    CALL(strncasecmp, sink = strncasecmp(text(), long_text, 64)) \
    CALL(wcslen, sink = wcslen(wide_text())) \
    CALL(wcsnlen, sink = wcsnlen(wide_text(), 64)) \
    CALL(wcscpy, wcscpy(wide, long_wide + 63 - W + !BAD)) \
    CALL(wcpcpy, wcpcpy(wide, long_wide + 63 - W + !BAD)) \
    CALL(wcsncpy, wcsncpy(wide, L"a", W)) \
    CALL(wcpncpy, wcpncpy(wide, L"a", W)) \
    CALL(wcscat, wcscpy(wide, L"ab"); wcscat(wide, long_wide + 63 - W + 2 + !BAD)) \
    CALL(wcsncat, wcscpy(wide, L"ab"); wcsncat(wide, long_wide, W - 3)) \
    CALL(wcscmp, sink = wcscmp(wide_text(), long_wide)) \
    CALL(wcsncmp, sink = wcsncmp(wide_text(), long_wide, 64)) \
    CALL(wcschr, sink = (long)wcschr(wide_text(), 'b')) \
    CALL(wcsrchr, sink = (long)wcsrchr(wide_text(), 'a')) \
    CALL(wcsdup, free(wcsdup(wide_text()))) \
    CALL(wmemcpy, wmemcpy(wide, long_wide, W)) \
    CALL(wmempcpy, wmempcpy(wide, long_wide, W)) \
    CALL(wmemmove, wmemmove(wide, long_wide, W)) \
    CALL(wmemset, wmemset(wide, 1, W)) \
    CALL(wmemcmp, sink = wmemcmp(wide_text(), long_wide, BAD ? W : WIDE)) \
    CALL(wmemchr, sink = (long)wmemchr(wide_text(), 0, 64)) \
    CALL(sprintf, sprintf(block, "%s%d%.1f", long_text + 63 - N + 7 + !BAD, 1234, 0.5)) \
    CALL(snprintf, snprintf(block, -1UL >> 1, "%s%d%.1f", long_text + 63 - N + 7 + !BAD, 1234, 0.5)) \
    CALL(vsprintf, print_without_bound("%s%d%.1f", long_text + 63 - N + 7 + !BAD, 1234, 0.5)) \
    CALL(vsnprintf, print_list("%s%d%.1f", long_text + 63 - N + 7 + !BAD, 1234, 0.5)) \
    CALL(swprintf, swprintf(wide, 64, L"%ls", long_wide + 63 - W + !BAD)) \
    CALL(read, lseek(ends[0], 0, SEEK_SET); sink = read(ends[0], block, BAD ? N : 64)) \
    CALL(pread, sink = pread(ends[0], block, BAD ? N : 64, 0)) \
    CALL(readv, struct iovec part = {block, BAD ? N : 64}; lseek(ends[0], 0, SEEK_SET); sink = readv(ends[0], &part, 1)) \
    CALL(preadv, struct iovec part = {block, BAD ? N : 64}; sink = preadv(ends[0], &part, 1, 0)) \
    CALL(recv, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sink = write(pair[1], long_text, N); \
         sink = recv(pair[0], block, 64, 0)) \
    CALL(recvfrom, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sink = write(pair[1], long_text, N); \
         sink = recvfrom(pair[0], block, 64, 0, NULL, NULL)) \
    CALL(recvmsg, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sink = write(pair[1], long_text, N); \
         struct iovec part = {block, 64}; struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1}; \
         sink = recvmsg(pair[0], &message, 0)) \
    CALL(fread, sink = fread(block, 1, N, file())) \
    CALL(fgets, sink = (long)fgets(block, N, file())) \
    CALL(getline, size_t room = 120; char *line = block; FILE *from = fmemopen(long_text + 63 - N + !BAD, N - !BAD, "r"); \
         sink = getline(&line, &room, from)) \
    CALL(getdelim, size_t room = 120; char *line = block; FILE *from = fmemopen(long_text + 63 - N + !BAD, N - !BAD, "r"); \
         sink = getdelim(&line, &room, ';', from)) \
    CALL(getcwd, sink = chdir("/usr/share"); char *end = (char *)malloc(BAD ? 10 : 11); sink = (long)getcwd(end, 64)) \
    CALL(readlink, sink = readlink("/proc/self/exe", BAD ? malloc(4) : malloc(4096), 4096)) \
    CALL(getrandom, sink = getrandom(block, N, 0)) \
    CALL(write, sink = write(ends[1], block, N)) \
    CALL(pwrite, sink = pwrite(ends[1], block, N, 0)) \
    CALL(writev, struct iovec part = {block, N}; sink = writev(ends[1], &part, 1)) \
    CALL(pwritev, struct iovec part = {block, N}; sink = pwritev(ends[1], &part, 1, 0)) \
    CALL(send, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sink = send(pair[1], block, N, 0)) \
    CALL(sendto, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); sink = sendto(pair[1], block, N, 0, NULL, 0)) \
    CALL(sendmsg, int pair[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, pair); struct iovec part = {block, N}; \
         struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1}; sink = sendmsg(pair[1], &message, 0)) \
    CALL(fwrite, sink = fwrite(block, 1, N, tmpfile())) \
    CALL(fputs, sink = fputs(text(), tmpfile())) \
    CALL(puts, sink = puts(text())) \
    CALL(qsort, qsort(block, N, 1, compare)) \
    CALL(qsort_r, qsort_r(block, N, 1, compare_with, block)) \
    CALL(bsearch, sink = (long)bsearch("a", block, N, 1, compare)) \
    CALL(in_front, memcpy(long_text, block - BAD, 4)) \
    CALL(freed, free(block); memset(block, 1, BAD)) \
    CALL(behind, memset(block + SIZE + 1, 1, BAD)) \
    CALL(overlap, memcpy(other, other + !BAD * 8 + 4, 8)) \
    CALL(text_overlap, strcpy(other, "abcdefgh"); strcpy(other + 8 * !BAD + 4, BAD ? other : "abc"))

CALLS
#undef CALL

static const struct {
    const char *name;
    void (*run)(void);
} calls[] = {
#define CALL(name, ...) {#name, name##_case},
    CALLS
};

int main(int count, char **words)
{
    char path[] = "/tmp/checked_calls.XXXXXX";
    ends[0] = ends[1] = mkstemp(path);
    unlink(path);
    memset(long_text, 'a', 63);
    sink = write(ends[1], long_text, 24 + BAD);
    for (int at = 0; at < 63; at++)
        long_wide[at] = 'a';
    block = fresh(), other = fresh(), wide = fresh(), other_wide = fresh();
    memset(block, 'a', SIZE), memset(other, 'a', SIZE);
    for (size_t at = 0; at < sizeof calls / sizeof *calls; at++)
        if (count < 2 || !strcmp(words[1], calls[at].name))
            calls[at].run();
    fputs("end\n", stderr);
    return 0;
}
