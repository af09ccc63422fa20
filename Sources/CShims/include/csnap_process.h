#pragma once
#include <sys/types.h>

/// Starts a process as the leader of a new group, with `channel` as its descriptor 3 and nothing open above it.
///
/// It dies by SIGKILL when the calling *thread* ends, so call on one that lives as long as the process. Ignored
/// signals and the signal mask are reset. Returns when the program runs: its process id, or -errno (also of exec).
/// `pidfd` gets a close-on-exec descriptor of the process.
pid_t csnap_spawn_group(const char *executable, char *const arguments[], int channel, int *pidfd);

/// Waits up to `milliseconds` for the process to end, without reaping it: 1 ended, 0 not yet, -errno.
int csnap_wait_ended(int pidfd, int milliseconds);

/// Reaps an ended process; its exit status (0..255), 1000 + signal number, or -errno.
int csnap_reap(int pidfd);

/// Waits that long on no descriptor: for a thread of its own only.
void csnap_pause(int milliseconds);

/// Bytes written to a Unix socket that its peer has not read yet; -errno on failure.
int csnap_unread_by_peer(int descriptor);
