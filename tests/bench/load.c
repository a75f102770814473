/* Asterisk's side of FastAGI as a load generator: one thread, one epoll, no dependencies, loopback only.
 *
 * Each call sends a greeting and answers commands in whatever order they come: GET DATA is answered with the
 * key 1, GET VARIABLE TRUNX_DID with the number, a prompt plays to its end. A call is good when it was
 * answered, asked for its number, gathered twice, prompted and hung up, and the server then closed.
 *
 *   load -p PORT -c N -s SECONDS [-w WARMUP]     closed loop: N calls at all times, as fast as the server can
 *   load -p PORT -r RATE -d A,V,D,S,H -s SECONDS open loop: RATE new calls a second; replies take A..H ms
 *   load -p PORT -c N -n CALLS                   closed loop, so many calls
 *   load -H N ...                                first N calls that are left waiting inside GET DATA; then
 *                                                prints "held" and goes on when a line comes on stdin
 *
 * Turnaround is from just before a reply is written to when the next command was seen to be there (the return
 * of epoll_wait, so that our own work in between is not the server's). JSON on stdout; exit 1 if a call failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 20000           /* calls at once; the usual hard limit of open files is not far above */
#define PATIENCE 20000000000 /* ns for calls to end, or to come to be held */
#define HOLDING 64           /* of the calls to be held, so many are on their way at once */

enum kind { ANSWER, VARIABLE, DATA, STREAM, HANGUP, OTHER, KINDS };
static const char *const verb[KINDS] = {"ANSWER", "GET VARIABLE ", "GET DATA ", "STREAM FILE ", "HANGUP", ""};
static const unsigned needed[KINDS] = {1, 1, 2, 1, 1, 0};

struct call {
    int fd, serial, hold, greeted, used;
    uint64_t began, replied; /* replied: 0 until the first reply */
    unsigned seen[KINDS];
    const char *reply;
    char line[1024];
};

/* Replies that wait for their time: one queue a kind, as equal delays come due in order. */
struct later { int call, serial; uint64_t due; };
struct queue { struct later *at; unsigned head, tail; };

struct samples { uint32_t *us; size_t count, room; };

static struct call *calls;
static int idle[MOST], idles, live, held, started, serials;
static struct queue queues[KINDS];
static uint64_t delay[KINDS], now, from = UINT64_MAX, until = UINT64_MAX;
static struct samples turnaround, answered;
static long good, failed, counted, commands;
static int poller, port;
static char number_reply[128] = "200 result=1 (+19495551234)\n";

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void sample(struct samples *s, uint64_t ns) {
    if (now < from || now > until) return;
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 1 << 16;
        if (!(s->us = realloc(s->us, s->room * sizeof *s->us))) die("realloc");
    }
    s->us[s->count++] = ns / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 1000);
}

static int smaller(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s) {
    size_t n = s->count, long_ones = 0;
    if (n) qsort(s->us, n, sizeof *s->us, smaller);
    for (size_t i = n; i-- && s->us[i] > 50000;) long_ones++;
    printf("\"%s\": {\"count\": %zu, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, \"over_50_ms\": %zu}, ", name, n,
           n ? s->us[n / 2] : 0, n ? s->us[n - 1 - n / 100] : 0, n ? s->us[n - 1] : 0, long_ones);
}

static void end_call(struct call *c, int well) {
    for (int kind = 0; kind < KINDS; kind++) well = well && c->seen[kind] >= needed[kind];
    if (well) {
        good++;
        if (now >= from && now <= until) counted++;
    } else {
        failed++;
    }
    close(c->fd);
    c->fd = -1;
    c->serial = 0;
    idle[idles++] = (int)(c - calls);
    live--;
}

static void greet(struct call *c, int again) {
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "agi_network: yes\nagi_network_script: inbound\nagi_request: agi://127.0.0.1:%d/inbound\n"
                     "agi_channel: PJSIP/trunk-%08x\nagi_language: en\nagi_type: PJSIP\n"
                     "agi_uniqueid: 1764000000.%d\nagi_version: 22.10.0\nagi_callerid: +1415555%04d\n"
                     "agi_calleridname: Jos\303\251 Doe\nagi_callingpres: 0\nagi_callingani2: 0\nagi_callington: 0\n"
                     "agi_callingtns: 0\nagi_dnid: +19495551234\nagi_rdnis: unknown\nagi_context: trunx-inbound\n"
                     "agi_extension: +19495551234\nagi_priority: 2\nagi_enhanced: 0.0\nagi_accountcode: \n"
                     "agi_threadid: 140000000000000\n\n",
                     port, c->serial, c->serial, c->serial % 10000);
    c->greeted = send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n;
    if (!c->greeted && errno != EAGAIN && errno != ENOTCONN) {
        end_call(c, 0);
        return;
    }
    /* While the server's backlog is full, EPOLLOUT tells when it has taken the call. */
    struct epoll_event e = {.events = c->greeted ? EPOLLIN | EPOLLRDHUP : EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poller, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
}

static void start_call(int hold) {
    struct call *c = &calls[idle[--idles]];
    memset(c, 0, sizeof *c);
    c->hold = hold;
    c->serial = ++serials;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    live++;
    if (!hold) started++;
    c->began = clock_ns();
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        end_call(c, 0);
    else
        greet(c, 0);
}

static void reply(struct call *c) {
    size_t n = strlen(c->reply);
    c->replied = clock_ns();
    if (send(c->fd, c->reply, n, MSG_NOSIGNAL) != (ssize_t)n) end_call(c, 0);
}

static void command(struct call *c, const char *line) {
    int kind = 0;
    while (strncmp(line, verb[kind], strlen(verb[kind]))) kind++;
    c->seen[kind]++;
    if (!c->hold) commands++;
    if (c->replied) sample(&turnaround, now - c->replied);
    switch (kind) {
        case ANSWER:
            if (!c->hold) sample(&answered, now - c->began);
            c->reply = "200 result=0\n";
            break;
        case VARIABLE:
            c->reply = strstr(line, "TRUNX_DID") ? number_reply : "200 result=0\n";
            break;
        case DATA:
            if (c->hold) {
                held++;
                return;
            }
            c->reply = "200 result=1\n";
            break;
        case STREAM: c->reply = "200 result=0 endpos=16000\n"; break;
        case HANGUP: c->reply = "200 result=1\n"; break;
        default: c->reply = "200 result=0\n";
    }
    if (!delay[kind]) {
        reply(c);
        return;
    }
    struct queue *q = &queues[kind];
    q->at[q->tail++ % MOST] = (struct later){(int)(c - calls), c->serial, now + delay[kind]};
}

static void readable(struct call *c) {
    ssize_t n = recv(c->fd, c->line + c->used, sizeof c->line - 1 - (size_t)c->used, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        end_call(c, n == 0);
        return;
    }
    c->used += (int)n;
    char *end = memchr(c->line, '\n', (size_t)c->used);
    if (!end) {
        if (c->used == sizeof c->line - 1) end_call(c, 0);
        return;
    }
    if (end != c->line + c->used - 1) { /* Asterisk would abort the running command: a fault of the server's */
        end_call(c, 0);
        return;
    }
    *end = 0;
    c->used = 0;
    command(c, c->line);
}

static uint64_t fire_due(void) {
    uint64_t next = UINT64_MAX;
    for (int kind = 0; kind < KINDS; kind++) {
        struct queue *q = &queues[kind];
        for (; q->head != q->tail; q->head++) {
            struct later l = q->at[q->head % MOST];
            if (l.due > now) {
                if (l.due < next) next = l.due;
                break;
            }
            if (calls[l.call].serial == l.serial) reply(&calls[l.call]);
        }
    }
    return next;
}

/* Sleeps until something comes or `next`, and handles what came. */
static void round_of_events(uint64_t next) {
    struct epoll_event events[512];
    int ms = next <= now ? 0 : next - now > 100000000 ? 100 : (int)((next - now) / 1000000) + 1;
    int n = epoll_wait(poller, events, 512, ms);
    now = clock_ns();
    for (int i = 0; i < n; i++) {
        struct call *c = events[i].data.ptr;
        if (c->fd < 0) continue;
        if (!c->greeted && events[i].events & EPOLLOUT) {
            greet(c, 1);
            if (c->fd < 0) continue;
        }
        if (events[i].events & EPOLLRDHUP && c->seen[HANGUP])
            end_call(c, 1);
        else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    }
}

static void hold_calls(int wanted) {
    uint64_t give_up = clock_ns() + PATIENCE + (uint64_t)wanted * 5000000;
    int begun = 0;
    while (held < wanted && failed == 0) {
        while (begun < wanted && live - held < HOLDING) {
            start_call(1);
            begun++;
        }
        now = clock_ns();
        if (now > give_up) break;
        round_of_events(fire_due());
    }
    if (held < wanted) {
        fprintf(stderr, "only %d of %d calls came to be held, %ld failed\n", held, wanted, failed);
        exit(2);
    }
    puts("held");
    fflush(stdout);
    if (getchar() == EOF) exit(0);
}

int main(int argc, char **argv) {
    double seconds = 0, warmup = 0, rate = 0, ms[5] = {0};
    int concurrency = 0, most = 0, hold = 0, option;
    while ((option = getopt(argc, argv, "p:c:s:w:r:d:n:H:")) != -1) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'c': concurrency = atoi(optarg); break;
            case 's': seconds = atof(optarg); break;
            case 'w': warmup = atof(optarg); break;
            case 'r': rate = atof(optarg); break;
            case 'd':
                if (sscanf(optarg, "%lf,%lf,%lf,%lf,%lf", ms, ms + 1, ms + 2, ms + 3, ms + 4) != 5) return 2;
                break;
            case 'n': most = atoi(optarg); break;
            case 'H': hold = atoi(optarg); break;
            default: return 2;
        }
    if (!port || (concurrency <= 0) == (rate <= 0) || (seconds <= 0) == (most <= 0) || concurrency + hold > MOST) {
        fprintf(stderr, "usage: see the head of load.c\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (!(calls = calloc(MOST, sizeof *calls))) die("calloc");
    for (idles = 0; idles < MOST; idles++) idle[idles] = MOST - 1 - idles;
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind < 5) delay[kind] = (uint64_t)(ms[kind] * 1e6);
        if (!(queues[kind].at = calloc(MOST, sizeof *queues[kind].at))) die("calloc");
    }
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");

    if (hold) hold_calls(hold);

    uint64_t begin = now = clock_ns(), period = rate > 0 ? (uint64_t)(1e9 / rate) : 0, next_start = begin;
    from = begin + (uint64_t)(warmup * 1e9);
    uint64_t stop = seconds > 0 ? from + (uint64_t)(seconds * 1e9) : UINT64_MAX, late = 0;
    double cpu = cpu_seconds(), cpu_used = 0, span = 0;
    int begun = 0;
    for (;;) {
        now = clock_ns();
        if (!begun && now >= from) {
            begun = 1;
            from = now;
            cpu = cpu_seconds();
        }
        if (span == 0 && (now >= stop || (most && started >= most && live == held))) {
            stop = until = now;
            span = (double)(until - from) / 1e9;
            cpu_used = cpu_seconds() - cpu;
        }
        if (span > 0 && (live == held || now > stop + PATIENCE)) break;
        uint64_t next = UINT64_MAX;
        if (now < stop && !(most && started >= most)) {
            if (period) {
                if (begun && now > next_start && now - next_start > late) late = now - next_start;
                for (; next_start <= now && idles; next_start += period) start_call(0);
                next = next_start;
            } else {
                while (live - held < concurrency && !(most && started >= most)) start_call(0);
            }
        }
        uint64_t due = fire_due();
        round_of_events(due < next ? due : next);
    }
    failed += live - held;

    printf("{\"calls\": %ld, \"failed\": %ld, \"measured_calls\": %ld, \"seconds\": %.6f, \"calls_per_second\": %.1f, ", good,
           failed, counted, span, (double)counted / span);
    print_samples("turnaround", &turnaround);
    print_samples("answered", &answered);
    printf("\"commands_per_call\": %.3f, \"generator_cpu_share\": %.3f, \"generator_late_us\": %lu}\n",
           good ? (double)commands / (double)good : 0, cpu_used / span, (unsigned long)(late / 1000));
    return failed != 0;
}
