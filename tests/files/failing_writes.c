/* Preloaded, it makes the n-th call that would change something below one folder fail as a full or forbidden disk does.

   fail_at(folder, n, error, onwards): from now on the n-th such call sets errno to `error` and fails; with `onwards`, so
   does every later one that takes room. n = 0 only counts. calls() says how many there were, failed() which one failed.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static char which[PATH_MAX + 64];
static long count, nth;
static int number, all_later;

void fail_at(const char *folder, long n, int error, int onwards) {
    strncpy(root, folder, sizeof root - 1);
    which[0] = 0;
    count = 0, nth = n, number = error, all_later = onwards;
}
long calls(void) { return count; }
const char *failed(void) { return which; }

static int below(const char *path) { return root[0] && !strncmp(path, root, strlen(root)); }

static int of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static void absolute(int fd, const char *name, char *path) {
    path[0] = 0;
    if (name[0] != '/') {
        if (fd == AT_FDCWD ? !getcwd(path, PATH_MAX) : !of_fd(fd, path)) path[0] = 0;
        strncat(path, "/", PATH_MAX - strlen(path) - 1);
    }
    strncat(path, name, PATH_MAX - strlen(path) - 1);
}

/* Whether a call is to fail; `takes_room` ones go on failing. */
static int fails(const char *call, const char *path, int takes_room) {
    if (!below(path)) return 0;
    count++;
    if (!nth || (count != nth && !(all_later && takes_room && count > nth))) return 0;
    if (!which[0]) snprintf(which, sizeof which, "%s %s", call, path);
    errno = number;
    return 1;
}

static int fails_at(const char *call, int fd, const char *name, int takes_room) {
    char path[PATH_MAX];
    if (!root[0]) return 0;
    absolute(fd, name, path);
    return fails(call, path, takes_room);
}

static int fails_fd(const char *call, int fd, int takes_room) {
    char path[PATH_MAX];
    return root[0] && of_fd(fd, path) && fails(call, path, takes_room);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#define MAKES(flags) (((flags) & O_CREAT) != 0)

int open(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && fails_at("open", AT_FDCWD, path, MAKES(flags)) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && fails_at("open", AT_FDCWD, path, MAKES(flags)) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int fd, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && fails_at("open", fd, path, MAKES(flags)) ? -1 : REAL(openat)(fd, path, flags, mode);
}
int openat64(int fd, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && fails_at("open", fd, path, MAKES(flags)) ? -1 : REAL(openat64)(fd, path, flags, mode);
}
ssize_t write(int fd, const void *bytes, size_t size) {
    return fails_fd("write", fd, 1) ? -1 : REAL(write)(fd, bytes, size);
}
ssize_t writev(int fd, const struct iovec *parts, int number_of) {
    return fails_fd("write", fd, 1) ? -1 : REAL(writev)(fd, parts, number_of);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return fails_fd("write", fd, 1) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return fails_fd("write", fd, 1) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}
/* As on a system without it: who copies a file this way then writes it. */
static int has_no_sendfile(int fd) {
    char path[PATH_MAX];
    if (!root[0] || !of_fd(fd, path) || !below(path)) return 0;
    errno = ENOSYS;
    return 1;
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    return has_no_sendfile(to) ? -1 : REAL(sendfile)(to, from, at, size);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    return has_no_sendfile(to) ? -1 : REAL(sendfile64)(to, from, at, size);
}
int fsync(int fd) { return fails_fd("fsync", fd, 0) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd("fsync", fd, 0) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) {
    return fails_at("rename", AT_FDCWD, to, 0) ? -1 : REAL(rename)(from, to);
}
int renameat(int in, const char *from, int at, const char *to) {
    return fails_at("rename", at, to, 0) ? -1 : REAL(renameat)(in, from, at, to);
}
/* What is there already is no folder to make: the real call says so, and takes no room. */
static int is_there(int fd, const char *path) { return !faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW); }

int mkdir(const char *path, mode_t mode) {
    return !is_there(AT_FDCWD, path) && fails_at("mkdir", AT_FDCWD, path, 1) ? -1 : REAL(mkdir)(path, mode);
}
int mkdirat(int fd, const char *path, mode_t mode) {
    return !is_there(fd, path) && fails_at("mkdir", fd, path, 1) ? -1 : REAL(mkdirat)(fd, path, mode);
}
