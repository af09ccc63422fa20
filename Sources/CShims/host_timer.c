#define _GNU_SOURCE
#include "csnap_host.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

int csnap_timer_make(void) {
    int descriptor = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return descriptor >= 0 ? descriptor : -errno;
}

void csnap_timer_arm(int descriptor, int64_t boottime_nanoseconds) {
    struct itimerspec due = {0};
    if (boottime_nanoseconds >= 0) {
        due.it_value.tv_sec = boottime_nanoseconds / 1000000000;
        // Zero would disarm it.
        due.it_value.tv_nsec = boottime_nanoseconds > 0 ? boottime_nanoseconds % 1000000000 : 1;
    }
    timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &due, NULL);
}
