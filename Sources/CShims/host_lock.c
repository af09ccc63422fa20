#define _GNU_SOURCE
#include "csnap_host.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int64_t csnap_boottime_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// A length of 0 is all there is and will be.
static struct flock range(short type, int64_t start, int64_t length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length, .l_pid = 0};
}

static int lock(int descriptor, struct flock wanted) {
    return fcntl(descriptor, F_OFD_SETLK, &wanted) == 0 ? 0 : -errno;
}

static int is_locked_elsewhere(int descriptor, struct flock asked) {
    if (fcntl(descriptor, F_OFD_GETLK, &asked) != 0) return -errno;
    return asked.l_type == F_UNLCK ? 0 : 1;
}

int csnap_lock_exclusive(int descriptor) { return lock(descriptor, range(F_WRLCK, 0, 0)); }

int csnap_lock_byte(int descriptor, int64_t offset) { return lock(descriptor, range(F_WRLCK, offset, 1)); }

int csnap_lock_byte_shared(int descriptor, int64_t offset) { return lock(descriptor, range(F_RDLCK, offset, 1)); }

int csnap_byte_is_locked_elsewhere(int descriptor, int64_t offset) {
    return is_locked_elsewhere(descriptor, range(F_WRLCK, offset, 1));
}

int csnap_lock_is_held_elsewhere(int descriptor) { return is_locked_elsewhere(descriptor, range(F_WRLCK, 0, 0)); }
