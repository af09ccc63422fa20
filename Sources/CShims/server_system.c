#define _GNU_SOURCE
#include "csnap_server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int csnap_open_device(const char *path, int writable, int *direct, uint64_t *size) {
    int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    *direct = 1;
    int descriptor = open(path, flags | O_DIRECT);
    if (descriptor < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) {
        *direct = 0;
        descriptor = open(path, flags);
    }
    if (descriptor < 0) return -errno;
    struct stat status;
    int result = fstat(descriptor, &status) == 0 ? 0 : -errno;
    if (result == 0 && S_ISBLK(status.st_mode)) {
        if (ioctl(descriptor, BLKGETSIZE64, size) != 0) result = -errno;
    } else if (result == 0 && S_ISREG(status.st_mode)) {
        *size = (uint64_t)status.st_size;
    } else if (result == 0) {
        result = -ENOTBLK;
    }
    if (result == 0) return descriptor;
    close(descriptor);
    return result;
}

int csnap_lock_device(int descriptor, int exclusive) {
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

int csnap_doorbell(int blocking) {
    int descriptor = eventfd(0, EFD_CLOEXEC | (blocking ? 0 : EFD_NONBLOCK));
    return descriptor < 0 ? -errno : descriptor;
}

void csnap_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

void csnap_sleep_until(int64_t boottime_nanoseconds) {
    if (boottime_nanoseconds <= 0) return;
    struct timespec until = {boottime_nanoseconds / 1000000000, boottime_nanoseconds % 1000000000};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) == EINTR) {}
}

int csnap_die_with_parent(int parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return -errno;
    return getppid() == parent ? 0 : 1;
}

int csnap_accept(int listener) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

static int set(int descriptor, int level, int name, int value) {
    return setsockopt(descriptor, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

int csnap_tune_session(int descriptor) {
    int result = set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    if (result == 0) result = set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (result == 0) result = set(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    if (result == 0) result = set(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 5);
    if (result == 0) result = set(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 3);
    if (result == 0) result = set(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, 25000);
    return result;
}

int csnap_reset_on_close(int descriptor) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0 ? 0 : -errno;
}

void csnap_word_store(volatile uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

uint64_t csnap_word_load(const volatile uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
