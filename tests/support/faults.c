/* Faults on demand: laid over libc by LD_PRELOAD, it counts the calls by which a zf process changes
 * anything, and at the Nth of them kills the process or makes the call fail. faults.py builds and
 * aims it.
 *
 * ZF_FAULT is "WHO WHAT FROM TO NAMES LOG":
 *   WHO    runner (the process it was loaded into), workers (those forked from it, counted together)
 *   WHAT   kill (before the call), tear (half of a write, then kill), short (write one byte),
 *          swap (before the call, another process changes a file: see ZF_SWAP),
 *          or an errno (the call fails and does nothing); only writes can be torn or short
 *   FROM, TO  which calls, counted from 1
 *   NAMES  the calls that count, as ",write,fsync,", or "*"
 *   LOG    a file that gets a line for every call counted
 *
 * ZF_SWAP is "FORGED:TARGET": what is moved to the place of TARGET when the fault is `swap`; where
 * something is that cannot be replaced, the two change places. What stands for any process of the
 * same user that acts at exactly this moment.
 *
 * ZF_CLOCK names a file with two doubles, by which the monotonic and the real clock of all these
 * processes are ahead: what is written there moves their time at once.
 *
 * What these processes start (steps, git) is left alone: the variables are taken away before Python
 * sees them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { KILL = -1, TEAR = -2, SHORT = -3, SWAP = -4 };

static int active, workers, what;
static long from, to;
static char names[512];
static int log_fd = -1;
static pid_t runner;
static long *count; /* shared by the runner and all its workers */
static double *ahead;
static char forged[4096], *target;

__attribute__((constructor)) static void take_clock(void)
{
    const char *path = getenv("ZF_CLOCK");
    if (!path)
        return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ahead = mmap(NULL, 2 * sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    unsetenv("ZF_CLOCK");
    unsetenv("LD_PRELOAD");
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (ahead && !result && (clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME)) {
        double by = ahead[clock == CLOCK_REALTIME];
        long long seconds = (long long)by;
        now->tv_sec += seconds;
        now->tv_nsec += (long)((by - (double)seconds) * 1e9);
        if (now->tv_nsec >= 1000000000) {
            now->tv_nsec -= 1000000000;
            now->tv_sec++;
        } else if (now->tv_nsec < 0) {
            now->tv_nsec += 1000000000;
            now->tv_sec--;
        }
    }
    return result;
}

__attribute__((constructor)) static void aim(void)
{
    char who[16], kind[16], path[4096];
    const char *text = getenv("ZF_FAULT");
    if (!text || sscanf(text, "%15s %15s %ld %ld %511s %4095s", who, kind, &from, &to, names, path) != 6)
        return;
    workers = !strcmp(who, "workers");
    what = !strcmp(kind, "kill") ? KILL : !strcmp(kind, "tear") ? TEAR : !strcmp(kind, "short") ? SHORT : !strcmp(kind, "swap") ? SWAP : atoi(kind);
    const char *swap = getenv("ZF_SWAP");
    if (swap && strlen(swap) < sizeof forged && strchr(swap, ':')) {
        strcpy(forged, swap);
        target = strchr(forged, ':');
        *target++ = 0;
    }
    unsetenv("ZF_SWAP");
    log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    /* Out of the way of everything that is given the lowest free number. */
    int high = fcntl(log_fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, log_fd);
    log_fd = high;
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    runner = syscall(SYS_getpid);
    unsetenv("ZF_FAULT");
    unsetenv("LD_PRELOAD");
    active = 1;
}

static int is_on_disk(int fd)
{
    struct stat about;
    return !fstat(fd, &about) && (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode));
}

static void swap(void)
{
    if (syscall(SYS_renameat2, AT_FDCWD, forged, AT_FDCWD, target, 0))
        syscall(SYS_renameat2, AT_FDCWD, forged, AT_FDCWD, target, RENAME_EXCHANGE);
}

static int is_write(const char *name)
{
    return !strcmp(name, "write") || !strcmp(name, "pwrite") || !strcmp(name, "send");
}

/* Whether the fault strikes this call; `fd` is -1 for calls that name a path. */
static int strikes(const char *name, int fd, const char *path)
{
    char line[600], wanted[64];
    if (!active || (syscall(SYS_getpid) != runner) != workers)
        return 0;
    snprintf(wanted, sizeof wanted, ",%s,", name);
    if (strcmp(names, "*") && !strstr(names, wanted))
        return 0;
    if ((what == TEAR || what == SHORT) && !is_write(name))
        return 0;
    /* A pipe or socket does not run out of space; but a process can die while it writes to one. */
    if (what != KILL && what != TEAR && what != SWAP && fd >= 0 && !is_on_disk(fd))
        return 0;
    long number = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    int struck = number >= from && number <= to;
    if (fd >= 0 && !path) {
        char link[64], target[400];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target - 1);
        target[size > 0 ? size : 0] = 0;
        snprintf(line, sizeof line, "%ld %s %s%s\n", number, name, target, struck ? " STRUCK" : "");
    } else {
        snprintf(line, sizeof line, "%ld %s %.400s%s\n", number, name, path ? path : "", struck ? " STRUCK" : "");
    }
    syscall(SYS_write, log_fd, line, strlen(line));
    if (struck && what == KILL) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
        for (;;)
            pause();
    }
    if (struck && what == SWAP) {
        swap();
        return 0;
    }
    return struck;
}

static int fails(const char *name, int fd, const char *path)
{
    if (!strikes(name, fd, path) || what < 0)
        return 0;
    errno = what;
    return 1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* How much of a write is let through; the process ends after a torn one. */
static size_t share(size_t size)
{
    return what == SHORT ? (size > 1 ? 1 : size) : size / 2;
}

static void after_tear(void)
{
    if (what == TEAR)
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (!strikes("write", fd, NULL))
        return syscall(SYS_write, fd, data, size);
    if (what > 0) {
        errno = what;
        return -1;
    }
    ssize_t done = syscall(SYS_write, fd, data, share(size));
    after_tear();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    if (!strikes("pwrite", fd, NULL))
        return real(fd, data, size, at);
    if (what > 0) {
        errno = what;
        return -1;
    }
    ssize_t done = real(fd, data, share(size), at);
    after_tear();
    return done;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    if (!strikes("send", fd, NULL))
        return real(fd, data, size, flags);
    ssize_t done = real(fd, data, share(size), flags);
    after_tear();
    return done;
}

#define PATH_CALL(name, parameters, types, arguments, path) \
    int name parameters \
    { \
        REAL(int, #name, types); \
        return fails(#name, -1, path) ? -1 : real arguments; \
    }
#define TYPES(...) __VA_ARGS__

PATH_CALL(mkdir, (const char *a, mode_t m), TYPES(const char *, mode_t), (a, m), a)
PATH_CALL(mkdirat, (int f, const char *a, mode_t m), TYPES(int, const char *, mode_t), (f, a, m), a)
PATH_CALL(mkfifo, (const char *a, mode_t m), TYPES(const char *, mode_t), (a, m), a)
PATH_CALL(rmdir, (const char *a), TYPES(const char *), (a), a)
PATH_CALL(unlink, (const char *a), TYPES(const char *), (a), a)
PATH_CALL(unlinkat, (int f, const char *a, int g), TYPES(int, const char *, int), (f, a, g), a)
PATH_CALL(rename, (const char *a, const char *b), TYPES(const char *, const char *), (a, b), b)
PATH_CALL(renameat, (int f, const char *a, int g, const char *b), TYPES(int, const char *, int, const char *), (f, a, g, b), b)
PATH_CALL(link, (const char *a, const char *b), TYPES(const char *, const char *), (a, b), b)
PATH_CALL(linkat, (int f, const char *a, int g, const char *b, int h), TYPES(int, const char *, int, const char *, int), (f, a, g, b, h), b)
PATH_CALL(chmod, (const char *a, mode_t m), TYPES(const char *, mode_t), (a, m), a)
PATH_CALL(fchmodat, (int f, const char *a, mode_t m, int g), TYPES(int, const char *, mode_t, int), (f, a, m, g), a)
PATH_CALL(utimensat, (int f, const char *a, const struct timespec t[2], int g), TYPES(int, const char *, const struct timespec[2], int), (f, a, t, g), a)
PATH_CALL(mount, (const char *a, const char *b, const char *k, unsigned long g, const void *d), TYPES(const char *, const char *, const char *, unsigned long, const void *), (a, b, k, g, d), b)
PATH_CALL(umount2, (const char *a, int g), TYPES(const char *, int), (a, g), a)
PATH_CALL(symlink, (const char *a, const char *b), TYPES(const char *, const char *), (a, b), b)
PATH_CALL(symlinkat, (const char *a, int f, const char *b), TYPES(const char *, int, const char *), (a, f, b), b)

/* For what libc has no name of its own; all numbers here have six arguments at the most. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list more;
    va_start(more, number);
    long a[6];
    for (int n = 0; n < 6; n++)
        a[n] = va_arg(more, long);
    va_end(more);
    if (number == SYS_move_mount && fails("move_mount", -1, (const char *)a[3]))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define FD_CALL(name, counted, parameters, types, arguments) \
    int name parameters \
    { \
        REAL(int, #name, types); \
        return fails(counted, fd, NULL) ? -1 : real arguments; \
    }

FD_CALL(fsync, "fsync", (int fd), TYPES(int), (fd))
FD_CALL(fdatasync, "fdatasync", (int fd), TYPES(int), (fd))
FD_CALL(ftruncate64, "ftruncate", (int fd, off64_t size), TYPES(int, off64_t), (fd, size))
FD_CALL(fchmod, "fchmod", (int fd, mode_t m), TYPES(int, mode_t), (fd, m))

/* An open counts when it may make a file. */
int open64(const char *path, int flags, ...)
{
    REAL(int, "open64", const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (flags & O_CREAT && fails("open", -1, path))
        return -1;
    return real(path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    REAL(int, "openat64", int, const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (flags & O_CREAT && fails("open", -1, path))
        return -1;
    return real(folder, path, flags, mode);
}

pid_t fork(void)
{
    REAL(pid_t, "fork", void);
    return fails("fork", -1, NULL) ? -1 : real();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
    REAL(int, "posix_spawn", pid_t *, const char *, const posix_spawn_file_actions_t *,
         const posix_spawnattr_t *, char *const[], char *const[]);
    if (fails("posix_spawn", -1, path))
        return what;
    return real(pid, path, actions, attributes, argv, env);
}
