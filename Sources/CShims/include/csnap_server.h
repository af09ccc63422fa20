#pragma once
#include <stdint.h>

/// Opens a device or file for reading and, if `writable`, writing, past the page cache where it allows that; the
/// descriptor or -errno. `direct` gets 1 if the page cache is passed by, `size` its bytes.
int csnap_open_device(const char *path, int writable, int *direct, uint64_t *size);

/// Takes an open-file-description lock on the whole file, shared or exclusive, without waiting; 0 or -errno.
int csnap_lock_device(int descriptor, int exclusive);

/// An eventfd(2), or -errno; `blocking`: reading it waits.
int csnap_doorbell(int blocking);

/// Names the calling thread, in at most 15 bytes.
void csnap_name_thread(const char *name);

/// Sleeps until that instant of CLOCK_BOOTTIME has come. For a thread of its own only.
void csnap_sleep_until(int64_t boottime_nanoseconds);

/// Asks for SIGKILL when the parent ends; 0, -errno, or 1 if the parent is not `parent` any more.
int csnap_die_with_parent(int parent);

/// Accepts a connection, non-blocking and close-on-exec; the descriptor or -errno.
int csnap_accept(int listener);

/// Small segments at once; a dead peer is noticed within half a minute. 0 or -errno.
int csnap_tune_session(int descriptor);

/// The connection is to be reset by close(2), what it did not send is lost. 0 or -errno.
int csnap_reset_on_close(int descriptor);

/// Words of a file that several processes have mapped.
void csnap_word_store(volatile uint64_t *word, uint64_t value);
uint64_t csnap_word_load(const volatile uint64_t *word);
