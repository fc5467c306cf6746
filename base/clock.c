/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks of the system, and the one way in which we write a date.
 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/must.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    must(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct mono mono_now(void)
{
    return (struct mono){.ns = read_clock(CLOCK_MONOTONIC)};
}

int64_t wall_now_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void wall_print(int64_t wall_ns, char ret[static RFC3339_CAP])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;

    must(wall_ns >= 0 && gmtime_r(&seconds, &tm) != NULL && tm.tm_year < 8100);
    must(strftime(ret, RFC3339_CAP, "%Y-%m-%dT%H:%M:%S", &tm) == 19);
    (void)snprintf(ret + 19, RFC3339_CAP - 19, ".%09uZ", (unsigned)(wall_ns % NS_PER_S));
}
