#pragma once
#include <stdint.h>

/// Nanoseconds of CLOCK_BOOTTIME.
int64_t csnap_boottime_nanoseconds(void);

/// A timer of CLOCK_BOOTTIME, readable when it is due (timerfd); -errno on failure.
int csnap_timer_make(void);

/// Due at that instant, at once if it has passed; negative: never.
void csnap_timer_arm(int descriptor, int64_t boottime_nanoseconds);

/// Takes an open-file-description lock on the whole file without waiting; 0, or -errno (-EAGAIN: held elsewhere).
int csnap_lock_exclusive(int descriptor);

/// The same on one byte, which need not exist; the descriptor must be open for writing.
int csnap_lock_byte(int descriptor, int64_t offset);

/// Others may hold the same, but nobody the exclusive one; open for reading is enough.
int csnap_lock_byte_shared(int descriptor, int64_t offset);

/// 1 if another open file description holds a lock on that byte, 0 if none does, -errno on failure.
int csnap_byte_is_locked_elsewhere(int descriptor, int64_t offset);

/// 1 if another open file description holds a lock on the file, 0 if none does, -errno on failure.
int csnap_lock_is_held_elsewhere(int descriptor);
