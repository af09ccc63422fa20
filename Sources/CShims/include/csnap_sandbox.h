#pragma once

/// Starts a program as a child that dies with the calling thread, in a process group of its own, with stdin from
/// /dev/null and stdout and stderr to `output`; every other descriptor is closed. Returns its pid, or -errno.
int csnap_sandbox_spawn(const char *path, char *const arguments[], int output);

/// pidfd_open(2): a descriptor that becomes readable when the process ends, or -errno.
int csnap_sandbox_pidfd(int pid);

/// pidfd_send_signal(2): never reaches another process that got the same pid. 0, or -errno.
int csnap_sandbox_signal(int pidfd, int signal);

/// Children whose parents die become ours, so that none can be left over. 0, or -errno.
int csnap_sandbox_adopt_orphans(void);
