#define _GNU_SOURCE
#include "csnap_client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

int csnap_wakeup_make(void) {
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return descriptor >= 0 ? descriptor : -errno;
}

void csnap_wakeup_signal(int descriptor) { eventfd_write(descriptor, 1); }

void csnap_wakeup_clear(int descriptor) {
    eventfd_t count;
    eventfd_read(descriptor, &count);
}

int csnap_origin_open(const char *path, int direct) {
    int descriptor = open(path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : O_DSYNC));
    return descriptor >= 0 ? descriptor : -errno;
}

int csnap_origin_write(int descriptor, const void *data, uint32_t length, uint64_t offset, int durable) {
    struct iovec part = {.iov_base = (void *)data, .iov_len = length};
    ssize_t written = durable ? pwritev2(descriptor, &part, 1, (off_t)offset, RWF_DSYNC)
                              : pwrite(descriptor, data, length, (off_t)offset);
    return written >= 0 ? (int)written : -errno;
}

int csnap_origin_is_asynchronous(int descriptor, void *aligned) {
    struct iovec part = {.iov_base = aligned, .iov_len = 4096};
    // EAGAIN: it would have waited, but knows how not to.
    if (preadv2(descriptor, &part, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN) return 1;
    return errno == EOPNOTSUPP ? 0 : -errno;
}

int csnap_origin_is_memory(int descriptor) {
    struct statfs status;
    struct stat file;
    // The node of a block device lies on devtmpfs, which calls itself tmpfs.
    if (fstat(descriptor, &file) != 0 || !S_ISREG(file.st_mode)) return 0;
    if (fstatfs(descriptor, &status) != 0) return 0;
    return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

int64_t csnap_device_size(int descriptor) {
    uint64_t size = 0;
    return ioctl(descriptor, BLKGETSIZE64, &size) == 0 ? (int64_t)size : -errno;
}

int csnap_device_block(int descriptor) {
    int size = 0;
    return ioctl(descriptor, BLKSSZGET, &size) == 0 ? size : -errno;
}

static int allocate(int descriptor, int mode, int64_t offset, int64_t length) {
    while (fallocate(descriptor, mode | FALLOC_FL_KEEP_SIZE, offset, length) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

int csnap_punch_hole(int descriptor, int64_t offset, int64_t length) {
    return allocate(descriptor, FALLOC_FL_PUNCH_HOLE, offset, length);
}

int csnap_zero_range(int descriptor, int64_t offset, int64_t length) {
    return allocate(descriptor, FALLOC_FL_ZERO_RANGE, offset, length);
}

int64_t csnap_next_data(int descriptor, int64_t offset) {
    off_t found = lseek(descriptor, offset, SEEK_DATA);
    return found >= 0 ? found : -errno;
}

int64_t csnap_next_hole(int descriptor, int64_t offset) {
    off_t found = lseek(descriptor, offset, SEEK_HOLE);
    return found >= 0 ? found : -errno;
}

int csnap_client_accept(int listener) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return descriptor >= 0 ? descriptor : -errno;
}
