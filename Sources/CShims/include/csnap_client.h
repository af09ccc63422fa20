#pragma once
#include <stdint.h>

/// A non-blocking eventfd, or -errno.
int csnap_wakeup_make(void);
void csnap_wakeup_signal(int descriptor);
void csnap_wakeup_clear(int descriptor);

/// Opens for reading and writing with O_DIRECT (`direct` not 0) or O_DSYNC; the descriptor, or -errno.
int csnap_origin_open(const char *path, int direct);

/// Like pwrite(2), if `durable` as if the file were open with O_DSYNC; bytes or -errno.
int csnap_origin_write(int descriptor, const void *data, uint32_t length, uint64_t offset, int durable);

/// Whether requests of a ring for this file need no thread that waits: it reads 512 or 4096 bytes. 1, 0, or -errno.
int csnap_origin_is_asynchronous(int descriptor, void *aligned);
/// 1 if the file lies in memory: I/O never waits for a device.
int csnap_origin_is_memory(int descriptor);

/// Bytes of a block device, or -errno.
int64_t csnap_device_size(int descriptor);
/// Bytes of a block device's logical block, or -errno.
int csnap_device_block(int descriptor);

/// Make a range read as zeroes: by giving the space back, or by keeping it. 0 or an errno.
int csnap_punch_hole(int descriptor, int64_t offset, int64_t length);
int csnap_zero_range(int descriptor, int64_t offset, int64_t length);

/// The next data, or the next hole, at or after `offset`; -errno on failure (-ENXIO: no data up to the end).
int64_t csnap_next_data(int descriptor, int64_t offset);
int64_t csnap_next_hole(int descriptor, int64_t offset);

/// A blocking, close-on-exec descriptor of the next peer, or -errno.
int csnap_client_accept(int listener);
