#pragma once
#include <stdint.h>

struct msghdr;

/// An io_uring(7) of one thread: only the thread that made it may use it.
struct csnap_ring;

/// Makes a ring for `entries` requests at once; NULL, and an errno in `error`, where it may not be had.
struct csnap_ring *csnap_ring_open(unsigned entries, int *error);

/// Nothing may be under way any more.
void csnap_ring_close(struct csnap_ring *ring);

/// Pins `length` bytes for reads and writes that are `fixed`; 0 or -errno (-ENOMEM: RLIMIT_MEMLOCK).
int csnap_ring_fix(struct csnap_ring *ring, void *base, uint64_t length);

/// Each of these queues one request, which `csnap_ring_submit` hands over; `tag` comes back with its result.
/// What they point to stays in use until then. There is always room for `entries` of them between two submits.
void csnap_ring_read(
    struct csnap_ring *ring, int descriptor, void *data, uint32_t length, uint64_t offset, int fixed, uint64_t tag);
/// `durable`: like O_DSYNC.
void csnap_ring_write(
    struct csnap_ring *ring, int descriptor, const void *data, uint32_t length, uint64_t offset, int fixed,
    int durable, uint64_t tag);
/// fdatasync(2).
void csnap_ring_flush(struct csnap_ring *ring, int descriptor, uint64_t tag);
void csnap_ring_receive(struct csnap_ring *ring, int socket, struct msghdr *message, uint64_t tag);
void csnap_ring_send(struct csnap_ring *ring, int socket, struct msghdr *message, uint64_t tag);
/// Waits once for `events` of poll(2), or for the end of the peer.
void csnap_ring_poll(struct csnap_ring *ring, int descriptor, uint32_t events, uint64_t tag);

/// Hands over what was queued and waits until at least one request is done, unless some result is there already.
/// 0 or -errno; -EINTR and -EAGAIN: call again.
int csnap_ring_submit(struct csnap_ring *ring);

/// 1 and the next finished request's tag and result (like the system call's, -errno on failure), or 0.
int csnap_ring_next(struct csnap_ring *ring, uint64_t *tag, int32_t *result);
