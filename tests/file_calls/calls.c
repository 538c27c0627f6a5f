/* Counts the calls that read or write one file, and may delay or record them.
 *
 *   CALLS_FILE     calls on files whose path ends with this are meant
 *   CALLS_COUNTS   a file of 5 x 8 bytes for all processes: reads, writes, syncs, bytes read, written
 *   CALLS_DELAY_US how long each such call waits beforehand
 *   CALLS_JOURNAL  each write is appended here: offset, length, bytes; a sync has the length -1
 *
 * It is loaded before the C library (LD_PRELOAD). Nothing but these functions is changed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { READS, WRITES, SYNCS, BYTES_READ, BYTES_WRITTEN, N_COUNTS };

static const char *file_name;
static int64_t *counts;
static struct timespec delay;
static int journal = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CALLS_COUNTS"), *pause = getenv("CALLS_DELAY_US");
    const char *kept = getenv("CALLS_JOURNAL");
    if (pause) {
        long us = atol(pause);
        delay.tv_sec = us / 1000000, delay.tv_nsec = us % 1000000 * 1000;
    }
    if (path) {
        int fd = open(path, O_RDWR);
        void *at = mmap(NULL, N_COUNTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0 && at != MAP_FAILED) counts = at;
    }
    if (kept) journal = open(kept, O_WRONLY | O_APPEND);
    file_name = getenv("CALLS_FILE");
}

/* Say whether a call is meant; if so, count it and wait. */
static int meant(int fd, int kind) {
    char link[32], path[4096];
    int kept = errno;
    if (!file_name) return 0;
    strcpy(link, "/proc/self/fd/");
    char digits[12], *end = digits + sizeof digits;
    *--end = 0;
    for (int n = fd; n > 0 || !*end; n /= 10) *--end = '0' + n % 10;
    strcat(link, end);
    ssize_t n = readlink(link, path, sizeof path - 1), tail = strlen(file_name);
    errno = kept;
    if (n < tail || memcmp(path + n - tail, file_name, tail)) return 0;
    if (counts) __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED);
    if (delay.tv_sec || delay.tv_nsec) nanosleep(&delay, NULL);
    errno = kept;
    return 1;
}

static ssize_t moved(int is_meant, int kind, ssize_t n) {
    if (is_meant && counts && n > 0)
        __atomic_add_fetch(&counts[kind == READS ? BYTES_READ : BYTES_WRITTEN], n, __ATOMIC_RELAXED);
    return n;
}

/* One writev, so that the records of several processes do not mix. */
static void record(int64_t offset, int64_t length, const struct iovec *parts, int n_parts) {
    int64_t head[2] = {offset, length};
    struct iovec all[64] = {{head, sizeof head}};
    int kept = errno, n = n_parts < 63 ? n_parts : 63;
    if (journal < 0) return;
    memcpy(all + 1, parts, n * sizeof *parts);
    if (n < n_parts || REAL(writev)(journal, all, n + 1) < 0) abort();
    errno = kept;
}

static void record_one(int64_t offset, const void *bytes, int64_t n) {
    struct iovec part = {(void *)bytes, n};
    record(offset, n, &part, 1);
}

static void record_parts(int64_t offset, const struct iovec *parts, int n_parts) {
    int64_t n = 0;
    for (int i = 0; i < n_parts; i++) n += parts[i].iov_len;
    record(offset, n, parts, n_parts);
}

#define READER(name, result, params, args)          \
    result name params {                            \
        int is = meant(fd, READS);                  \
        return moved(is, READS, REAL(name) args);   \
    }
#define WRITER(name, params, args, keep)            \
    ssize_t name params {                           \
        int is = meant(fd, WRITES);                 \
        if (is) keep;                               \
        return moved(is, WRITES, REAL(name) args);  \
    }
#define SYNC(name)                                  \
    int name(int fd) {                              \
        int is = meant(fd, SYNCS);                  \
        int status = REAL(name)(fd);                \
        if (is) record(0, -1, NULL, 0);             \
        return status;                              \
    }

READER(read, ssize_t, (int fd, void *to, size_t n), (fd, to, n))
READER(pread, ssize_t, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
READER(pread64, ssize_t, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
READER(readv, ssize_t, (int fd, const struct iovec *to, int n), (fd, to, n))
READER(preadv, ssize_t, (int fd, const struct iovec *to, int n, off_t at), (fd, to, n, at))
READER(preadv64, ssize_t, (int fd, const struct iovec *to, int n, off64_t at), (fd, to, n, at))

WRITER(write, (int fd, const void *from, size_t n), (fd, from, n),
       record_one(lseek(fd, 0, SEEK_CUR), from, n))
WRITER(pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at),
       record_one(at, from, n))
WRITER(pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at),
       record_one(at, from, n))
WRITER(writev, (int fd, const struct iovec *from, int n), (fd, from, n),
       record_parts(lseek(fd, 0, SEEK_CUR), from, n))
WRITER(pwritev, (int fd, const struct iovec *from, int n, off_t at), (fd, from, n, at),
       record_parts(at, from, n))
WRITER(pwritev64, (int fd, const struct iovec *from, int n, off64_t at), (fd, from, n, at),
       record_parts(at, from, n))

SYNC(fsync)
SYNC(fdatasync)
