#define _GNU_SOURCE
#include "csnap_ring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Of <linux/fs.h>, which does not go together with <sys/mount.h> everywhere.
#ifndef RWF_DSYNC
#define RWF_DSYNC 2
#endif

struct csnap_ring {
    int descriptor;
    unsigned queued;  // since the last submit
    // Shared with the kernel, which moves the submission's head and the completion's tail.
    _Atomic unsigned *submission_tail;
    unsigned submission_mask;
    struct io_uring_sqe *submissions;
    _Atomic unsigned *completion_head;
    _Atomic unsigned *completion_tail;
    unsigned completion_mask;
    struct io_uring_cqe *completions;
    void *rings;
    size_t rings_size;
    size_t submissions_size;
};

static int setup(unsigned entries, struct io_uring_params *parameters) {
    // The newest first: completions are then handled by the waiting thread alone, in batches, without interrupts.
    const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0};
    int descriptor = -1;
    for (unsigned attempt = 0; attempt < 3 && descriptor < 0; attempt++) {
        memset(parameters, 0, sizeof *parameters);
        parameters->flags = flags[attempt];
        descriptor = (int)syscall(SYS_io_uring_setup, entries, parameters);
        if (descriptor < 0 && errno != EINVAL) break;
    }
    return descriptor;
}

static int map(struct csnap_ring *ring, const struct io_uring_params *parameters) {
    size_t submission = parameters->sq_off.array + parameters->sq_entries * sizeof(unsigned);
    size_t completion = parameters->cq_off.cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_size = submission > completion ? submission : completion;
    ring->submissions_size = parameters->sq_entries * sizeof(struct io_uring_sqe);
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    ring->rings = mmap(NULL, ring->rings_size, protection, flags, ring->descriptor, IORING_OFF_SQ_RING);
    if (ring->rings == MAP_FAILED) return errno;
    ring->submissions =
        mmap(NULL, ring->submissions_size, protection, flags, ring->descriptor, IORING_OFF_SQES);
    if (ring->submissions == MAP_FAILED) {
        int error = errno;
        munmap(ring->rings, ring->rings_size);
        return error;
    }
    char *base = ring->rings;
    ring->submission_tail = (_Atomic unsigned *)(base + parameters->sq_off.tail);
    ring->submission_mask = *(unsigned *)(base + parameters->sq_off.ring_mask);
    ring->completion_head = (_Atomic unsigned *)(base + parameters->cq_off.head);
    ring->completion_tail = (_Atomic unsigned *)(base + parameters->cq_off.tail);
    ring->completion_mask = *(unsigned *)(base + parameters->cq_off.ring_mask);
    ring->completions = (struct io_uring_cqe *)(base + parameters->cq_off.cqes);
    // Requests are taken in the order of their entries, always.
    unsigned *array = (unsigned *)(base + parameters->sq_off.array);
    for (unsigned index = 0; index < parameters->sq_entries; index++) array[index] = index;
    return 0;
}

struct csnap_ring *csnap_ring_open(unsigned entries, int *error) {
    struct io_uring_params parameters;
    struct csnap_ring *ring = calloc(1, sizeof *ring);
    *error = ENOMEM;
    if (!ring) return NULL;
    ring->descriptor = setup(entries, &parameters);
    *error = ring->descriptor < 0 ? errno : 0;
    // Without these (before Linux 5.11) the layout is another, or results may be lost.
    const unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
    if (!*error && (parameters.features & needed) != needed) *error = ENOSYS;
    if (!*error) *error = map(ring, &parameters);
    if (!*error) return ring;
    if (ring->descriptor >= 0) close(ring->descriptor);
    free(ring);
    return NULL;
}

void csnap_ring_close(struct csnap_ring *ring) {
    munmap(ring->submissions, ring->submissions_size);
    munmap(ring->rings, ring->rings_size);
    close(ring->descriptor);
    free(ring);
}

int csnap_ring_fix(struct csnap_ring *ring, void *base, uint64_t length) {
    struct iovec buffer = {.iov_base = base, .iov_len = length};
    long result = syscall(SYS_io_uring_register, ring->descriptor, IORING_REGISTER_BUFFERS, &buffer, 1);
    return result == 0 ? 0 : -errno;
}

static struct io_uring_sqe *queue(struct csnap_ring *ring, int opcode, int descriptor, uint64_t tag) {
    unsigned tail = atomic_load_explicit(ring->submission_tail, memory_order_relaxed);
    struct io_uring_sqe *entry = &ring->submissions[tail & ring->submission_mask];
    memset(entry, 0, sizeof *entry);
    entry->opcode = (uint8_t)opcode;
    entry->fd = descriptor;
    entry->user_data = tag;
    ring->queued++;
    return entry;
}

/// After the entry is complete: the kernel may read it from now on.
static void publish(struct csnap_ring *ring) {
    unsigned tail = atomic_load_explicit(ring->submission_tail, memory_order_relaxed);
    atomic_store_explicit(ring->submission_tail, tail + 1, memory_order_release);
}

static void transfer(
    struct csnap_ring *ring, int opcode, int descriptor, uint64_t address, uint32_t length, uint64_t offset,
    int flags, uint64_t tag) {
    struct io_uring_sqe *entry = queue(ring, opcode, descriptor, tag);
    entry->addr = address;
    entry->len = length;
    entry->off = offset;
    entry->rw_flags = flags;
    publish(ring);
}

void csnap_ring_read(
    struct csnap_ring *ring, int descriptor, void *data, uint32_t length, uint64_t offset, int fixed, uint64_t tag) {
    int opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
    transfer(ring, opcode, descriptor, (uintptr_t)data, length, offset, 0, tag);
}

void csnap_ring_write(
    struct csnap_ring *ring, int descriptor, const void *data, uint32_t length, uint64_t offset, int fixed,
    int durable, uint64_t tag) {
    int opcode = fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
    transfer(ring, opcode, descriptor, (uintptr_t)data, length, offset, durable ? RWF_DSYNC : 0, tag);
}

void csnap_ring_flush(struct csnap_ring *ring, int descriptor, uint64_t tag) {
    struct io_uring_sqe *entry = queue(ring, IORING_OP_FSYNC, descriptor, tag);
    entry->fsync_flags = IORING_FSYNC_DATASYNC;
    publish(ring);
}

void csnap_ring_receive(struct csnap_ring *ring, int socket, struct msghdr *message, uint64_t tag) {
    transfer(ring, IORING_OP_RECVMSG, socket, (uintptr_t)message, 1, 0, 0, tag);
}

void csnap_ring_send(struct csnap_ring *ring, int socket, struct msghdr *message, uint64_t tag) {
    transfer(ring, IORING_OP_SENDMSG, socket, (uintptr_t)message, 1, 0, MSG_NOSIGNAL, tag);
}

void csnap_ring_poll(struct csnap_ring *ring, int descriptor, uint32_t events, uint64_t tag) {
    struct io_uring_sqe *entry = queue(ring, IORING_OP_POLL_ADD, descriptor, tag);
    entry->poll32_events = events;
    publish(ring);
}

int csnap_ring_submit(struct csnap_ring *ring) {
    long taken = syscall(
        SYS_io_uring_enter, ring->descriptor, ring->queued, 1, IORING_ENTER_GETEVENTS, NULL, (size_t)0);
    if (taken < 0) return -errno;
    ring->queued -= (unsigned)taken;
    return 0;
}

int csnap_ring_next(struct csnap_ring *ring, uint64_t *tag, int32_t *result) {
    unsigned head = atomic_load_explicit(ring->completion_head, memory_order_relaxed);
    if (head == atomic_load_explicit(ring->completion_tail, memory_order_acquire)) return 0;
    const struct io_uring_cqe *entry = &ring->completions[head & ring->completion_mask];
    *tag = entry->user_data;
    *result = entry->res;
    atomic_store_explicit(ring->completion_head, head + 1, memory_order_release);
    return 1;
}
