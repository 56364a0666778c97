/* Sixty small functions, twelve for each of CWE 122, 124, 126, 127 and 416, modelled on the test cases that these have:
 * their bug is in every block of its site. Usage: weaknesses NUMBER | weaknesses count. With -DFIXED none is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#ifdef FIXED
#define BAD 0
#else
#define BAD 1
#endif

static volatile long sink;
static volatile int zero;
typedef struct { int one, two; long big; char text[16]; } Record;
typedef struct Node { struct Node *next; long value; } Node;

__attribute__((noinline)) static void *take(size_t bytes) {
    char *block = malloc(bytes);
    memset(block, 'A', bytes);
    return block;
}

/* As often as a program calls such a function: the second block of a site has its guard in front. */
#define TWICE for (int round = 0; round < 2; round++)

/* CWE 122: written past the end. */
static void c122_loop(void) { char *p = take(50); for (int i = 0; i < (BAD ? 100 : 50); i++) ((volatile char *)p)[i] = 'x'; free(p); }
static void c122_memcpy(void) { char s[100], *p = take(50); memset(s, 'x', 100); memcpy(p, s, (BAD ? 100 : 50) + zero); free(p); }
static void c122_memmove(void) { char s[100], *p = take(50); memset(s, 'x', 100); memmove(p, s, (BAD ? 100 : 50) + zero); free(p); }
static void c122_strcpy(void) { char s[100], *p = take(BAD ? 50 : 100); memset(s, 'x', 99); s[99] = 0; strcpy(p, s + zero); free(p); }
static void c122_strcat(void) { char s[100], *p = take(BAD ? 50 : 100); memset(s, 'x', 99); s[99] = 0; p[0] = 0; strcat(p, s + zero); free(p); }
static void c122_nul(void) { char *p = take(10 + !BAD); strcpy(p, "AAAAAAAAAA" + zero); free(p); }
static void c122_snprintf(void) { char *p = take(50); snprintf(p, BAD ? 100 : 50, "%099d", zero); free(p); }
static void c122_ints(void) { int *p = take(50 * sizeof(int)); for (int i = 0; i < (BAD ? 100 : 50); i++) ((volatile int *)p)[i] = i; free(p); }
static void c122_type(void) { long *p = take(BAD ? sizeof(int) : sizeof(long)); *(volatile long *)p = 5; free(p); }
static void c122_index(void) { int *p = take(10 * sizeof(int)); ((volatile int *)p)[(BAD ? 10 : 9) + zero] = 1; free(p); }
static void c122_wide(void) { wchar_t *p = take(50 * sizeof(wchar_t)); wmemset(p, L'x', (BAD ? 100 : 50) + zero); free(p); }
static void c122_record(void) { Record *p = take(BAD ? sizeof(void *) : sizeof(Record)); strcpy(p->text, "text" + zero); free(p); }

/* CWE 124: written in front. */
static void c124_index(void) { TWICE { char *p = take(100); ((volatile char *)p)[-BAD + zero] = 'x'; free(p); } }
static void c124_eight(void) { TWICE { char *p = take(100); ((volatile char *)p)[-8 * BAD + zero] = 'x'; free(p); } }
static void c124_loop(void) { TWICE { char *p = take(100); for (int i = 0; i < 8; i++) ((volatile char *)p - 8 * BAD)[i] = 'x'; free(p); } }
static void c124_memcpy(void) { TWICE { char s[100], *p = take(100); memset(s, 'x', 100); memcpy(p - 8 * BAD + zero, s, 90); free(p); } }
static void c124_memmove(void) { TWICE { char s[100], *p = take(100); memset(s, 'x', 100); memmove(p - 8 * BAD + zero, s, 90); free(p); } }
static void c124_strcpy(void) { TWICE { char *p = take(100); strcpy(p - 8 * BAD + zero, "twelve bytes"); free(p); } }
static void c124_ints(void) { TWICE { int *p = take(100); ((volatile int *)p)[-BAD + zero] = 7; free(p); } }
static void c124_down(void) { TWICE { char *p = take(16); for (int i = 15; i >= -BAD; i--) ((volatile char *)p)[i] = 'x'; free(p); } }
static void c124_trim(void) { TWICE { char *p = take(16); memset(p, ' ', 16); int i = 15; while ((BAD ? 1 : i >= 0) && p[i] == ' ' && i >= -1) ((volatile char *)p)[i--] = 0; free(p); } }
static void c124_record(void) { TWICE { Record *p = take(sizeof(Record)); ((volatile Record *)p - BAD)->big = 7; free(p); } }
static void c124_wide(void) { TWICE { wchar_t *p = take(100); wmemset(p - BAD + zero, L'x', 10); free(p); } }
static void c124_once(void) { char *p = take(100); ((volatile char *)p)[-BAD + zero] = 'x'; free(p); }

/* CWE 126: read past the end. */
static void c126_loop(void) { char *p = take(50); for (int i = 0; i < (BAD ? 100 : 50); i++) sink += ((volatile char *)p)[i]; free(p); }
static void c126_memcpy(void) { char d[100], *p = take(50); memcpy(d, p, (BAD ? 100 : 50) + zero); sink += d[zero]; free(p); }
static void c126_memmove(void) { char d[100], *p = take(50); memmove(d, p, (BAD ? 100 : 50) + zero); sink += d[zero]; free(p); }
static void c126_strlen(void) { char *p = take(50); if (!BAD) p[49] = 0; sink += strlen(p + zero); free(p); }
static void c126_memcmp(void) { char s[100], *p = take(50); memset(s, 'A', 100); sink += memcmp(s, p, (BAD ? 100 : 50) + zero); free(p); }
static void c126_memchr(void) { char *p = take(50); sink += memchr(p, 'z', (BAD ? 100 : 50) + zero) != 0; free(p); }
static void c126_print(void) { char t[200], *p = take(50); if (!BAD) p[49] = 0; sink += snprintf(t, 200, "%s", p + zero); free(p); }
static void c126_ints(void) { int *p = take(50 * sizeof(int)); for (int i = 0; i < (BAD ? 100 : 50); i++) sink += ((volatile int *)p)[i]; free(p); }
static void c126_index(void) { int *p = take(12 * sizeof(int)); sink += ((volatile int *)p)[(BAD ? 12 : 11) + zero]; free(p); }
static void c126_slack(void) { char *p = take(10); sink += ((volatile char *)p)[(BAD ? 10 : 9) + zero]; free(p); }
static void c126_type(void) { int *p = take(BAD ? 16 : sizeof(Record)); sink += ((volatile Record *)p)->text[8]; free(p); }
static void c126_write(void) { int pipes[2]; char *p = take(50); if (!pipe(pipes)) sink += write(pipes[1], p, (BAD ? 100 : 50)); free(p); }

/* CWE 127: read in front. */
static void c127_index(void) { TWICE { char *p = take(100); sink += ((volatile char *)p)[-BAD + zero]; free(p); } }
static void c127_eight(void) { TWICE { char *p = take(100); sink += ((volatile char *)p)[-8 * BAD + zero]; free(p); } }
static void c127_loop(void) { TWICE { char *p = take(100); for (int i = 0; i < 8; i++) sink += ((volatile char *)p - 8 * BAD)[i]; free(p); } }
static void c127_memcpy(void) { TWICE { char d[100], *p = take(100); memcpy(d, p - 8 * BAD + zero, 90); sink += d[zero]; free(p); } }
static void c127_memmove(void) { TWICE { char d[100], *p = take(100); memmove(d, p - 8 * BAD + zero, 90); sink += d[zero]; free(p); } }
static void c127_strlen(void) { TWICE { char *p = take(100); p[99] = 0; sink += strlen(p - 8 * BAD + zero); free(p); } }
static void c127_ints(void) { TWICE { int *p = take(100); sink += ((volatile int *)p)[-BAD + zero]; free(p); } }
static void c127_down(void) { TWICE { char *p = take(16); for (int i = 15; i >= -BAD; i--) sink += ((volatile char *)p)[i]; free(p); } }
static void c127_memcmp(void) { TWICE { char s[100], *p = take(100); memset(s, 'A', 100); sink += memcmp(s, p - 8 * BAD + zero, 90); free(p); } }
static void c127_record(void) { TWICE { Record *p = take(sizeof(Record)); sink += ((volatile Record *)p - BAD)->big; free(p); } }
static void c127_wide(void) { TWICE { wchar_t *p = take(100); sink += wmemchr(p - BAD + zero, L'z', 10) != 0; free(p); } }
static void c127_once(void) { char *p = take(100); sink += ((volatile char *)p)[-BAD + zero]; free(p); }

/* CWE 416: used after its free. */
static void end(void *p) { if (BAD) free(p); }
static void end_late(void *p) { if (!BAD) free(p); }
static void c416_read(void) { char *p = take(100); end(p); sink += ((volatile char *)p)[5]; end_late(p); }
static void c416_write(void) { char *p = take(100); end(p); ((volatile char *)p)[5] = 'x'; end_late(p); }
static void c416_last(void) { char *p = take(100); end(p); sink += ((volatile char *)p)[99]; end_late(p); }
static void c416_string(void) { char *p = take(100); p[99] = 0; end(p); sink += strlen(p + zero); end_late(p); }
static void c416_memcpy(void) { char d[100], *p = take(100); end(p); memcpy(d, p + zero, 100); sink += d[zero]; end_late(p); }
static void c416_memset(void) { char *p = take(100); end(p); memset(p + zero, 'x', 100); end_late(p); }
static void c416_ints(void) { int *p = take(400); end(p); sink += ((volatile int *)p)[50]; end_late(p); }
static void c416_record(void) { Record *p = take(sizeof(Record)); end(p); sink += ((volatile Record *)p)->two; end_late(p); }
static void c416_realloc(void) { char *p = take(100), *old = p; p = realloc(p, 4000); sink += ((volatile char *)(BAD ? old : p))[5]; free(p); }
static void c416_list(void) { Node *p = take(sizeof(Node)), *q = take(sizeof(Node)); p->next = q; q->next = 0; Node *n = p; while (n) { Node *next = n->next; end(n); n = BAD ? ((volatile Node *)n)->next : next; } if (!BAD) free(p), free(q); }
static void c416_large(void) { char *p = take(1 << 20); end(p); sink += ((volatile char *)p)[1 << 19]; end_late(p); }
static void c416_call(void) { int pipes[2]; char *p = take(100); end(p); if (!pipe(pipes)) sink += write(pipes[1], p, 100); end_late(p); }

static void (*const cases[])(void) = {
    c122_loop, c122_memcpy, c122_memmove, c122_strcpy, c122_strcat, c122_nul, c122_snprintf, c122_ints, c122_type, c122_index,
    c122_wide, c122_record, c124_index, c124_eight, c124_loop, c124_memcpy, c124_memmove, c124_strcpy, c124_ints, c124_down,
    c124_trim, c124_record, c124_wide, c124_once, c126_loop, c126_memcpy, c126_memmove, c126_strlen, c126_memcmp, c126_memchr,
    c126_print, c126_ints, c126_index, c126_slack, c126_type, c126_write, c127_index, c127_eight, c127_loop, c127_memcpy,
    c127_memmove, c127_strlen, c127_ints, c127_down, c127_memcmp, c127_record, c127_wide, c127_once, c416_read, c416_write,
    c416_last, c416_string, c416_memcpy, c416_memset, c416_ints, c416_record, c416_realloc, c416_list, c416_large, c416_call,
};

int main(int count, char **arguments) {
    unsigned number = count > 1 ? atoi(arguments[1]) : 0;
    if (number >= sizeof cases / sizeof *cases)
        return 2;
    cases[number]();
    puts("end");
    return 0;
}
