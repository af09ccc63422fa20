#define _GNU_SOURCE
#include "csnap_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { channel_descriptor = 3, status_descriptor = 4 };

/// In the child, before exec: only async-signal-safe calls. Tells `errno` through `status` if exec is not reached.
static void become_group(const char *executable, char *const arguments[], int channel, int status, pid_t parent) {
    int kept_channel = fcntl(channel, F_DUPFD_CLOEXEC, 16);
    int kept_status = fcntl(status, F_DUPFD_CLOEXEC, 16);
    if (kept_channel < 0 || kept_status < 0) goto failed;
    if (dup2(kept_channel, channel_descriptor) < 0) goto failed;
    if (dup3(kept_status, status_descriptor, O_CLOEXEC) < 0) goto failed;
    kept_status = status_descriptor;
    if (close_range(status_descriptor + 1, ~0U, 0) != 0) goto failed;
    if (setpgid(0, 0) != 0) goto failed;
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
    // The parent may have died before the request; nobody would kill us then.
    if (getppid() != parent) _exit(127);
    execv(executable, arguments);
failed:;
    int code = errno;
    ssize_t ignored = write(kept_status >= 0 ? kept_status : status, &code, sizeof code);
    (void)ignored;
    _exit(127);
}

pid_t csnap_spawn_group(const char *executable, char *const arguments[], int channel, int *pidfd) {
    int status[2];
    if (pipe2(status, O_CLOEXEC) != 0) return -errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) become_group(executable, arguments, channel, status[1], parent);
    int fork_error = errno;
    close(status[1]);
    if (child < 0) {
        close(status[0]);
        return -fork_error;
    }
    int code = 0;
    ssize_t count;
    do count = read(status[0], &code, sizeof code);
    while (count < 0 && errno == EINTR);
    close(status[0]);
    if (count == sizeof code) {
        waitpid(child, NULL, 0);
        return code > 0 ? -code : -EIO;
    }
    // Nobody else reaps our children, so the number is still this child's.
    *pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (*pidfd < 0) {
        code = errno;
        kill(-child, SIGKILL);
        waitpid(child, NULL, 0);
        return -code;
    }
    return child;
}

int csnap_wait_ended(int pidfd, int milliseconds) {
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    int result = poll(&wait, 1, milliseconds);
    if (result < 0) return errno == EINTR ? 0 : -errno;
    return result > 0 ? 1 : 0;
}

int csnap_reap(int pidfd) {
    siginfo_t information = {0};
    int result;
    do result = waitid(P_PIDFD, (id_t)pidfd, &information, WEXITED);
    while (result != 0 && errno == EINTR);
    if (result != 0) return -errno;
    return information.si_code == CLD_EXITED ? information.si_status : 1000 + information.si_status;
}

void csnap_pause(int milliseconds) { poll(NULL, 0, milliseconds); }

int csnap_unread_by_peer(int descriptor) {
    int count = 0;
    return ioctl(descriptor, SIOCOUTQ, &count) == 0 ? count : -errno;
}
