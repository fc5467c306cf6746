/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks of the system, and the one way in which we write a date.
 */
#include "base/clock.h"

#include <errno.h>
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

static bool read_digits(struct bytes *text, unsigned count, int *ret)
{
    int value = 0;

    if (text->len < count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        value = value * 10 + (text->data[i] - '0');
    }
    *text = bytes_of(text->data + count, text->len - count);
    *ret = value;
    return true;
}

static bool read_char(struct bytes *text, char c)
{
    if (text->len == 0 || text->data[0] != (uint8_t)c)
        return false;
    *text = bytes_of(text->data + 1, text->len - 1);
    return true;
}

static bool read_date_time(struct bytes *text, struct tm *ret)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm = {0};
    bool is_leap;

    if (!read_digits(text, 4, &tm.tm_year) || !read_char(text, '-') ||
        !read_digits(text, 2, &tm.tm_mon) || !read_char(text, '-') ||
        !read_digits(text, 2, &tm.tm_mday) || !read_char(text, 'T') ||
        !read_digits(text, 2, &tm.tm_hour) || !read_char(text, ':') ||
        !read_digits(text, 2, &tm.tm_min) || !read_char(text, ':') ||
        !read_digits(text, 2, &tm.tm_sec))
        return false;
    if (tm.tm_year < 1970 || tm.tm_year > 2261 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return false;
    is_leap = (tm.tm_year % 4 == 0 && tm.tm_year % 100 != 0) || tm.tm_year % 400 == 0;
    if (tm.tm_mday < 1 || tm.tm_mday > days[tm.tm_mon - 1] + (tm.tm_mon == 2 && is_leap ? 1 : 0))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret = tm;
    return true;
}

static bool read_fraction(struct bytes *text, int *ret_ns)
{
    int scale = 100000000;
    int digit;

    *ret_ns = 0;
    if (!read_char(text, '.'))
        return true;
    if (!read_digits(text, 1, &digit))
        return false;
    do {
        *ret_ns += digit * scale;
        scale /= 10;
    } while (scale > 0 && read_digits(text, 1, &digit));
    return true;
}

static bool read_offset(struct bytes *text, int *ret_s)
{
    int sign = text->len > 0 && text->data[0] == '-' ? -1 : 1;
    int hours;
    int minutes;

    *ret_s = 0;
    if (read_char(text, 'Z'))
        return true;
    if (!(read_char(text, '+') || read_char(text, '-')) || !read_digits(text, 2, &hours) ||
        !read_char(text, ':') || !read_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

int wall_parse(struct bytes text, int64_t *ret_wall_ns)
{
    struct tm tm;
    int offset_s;
    int ns;
    int64_t seconds;

    if (!read_date_time(&text, &tm) || !read_fraction(&text, &ns) ||
        !read_offset(&text, &offset_s) || text.len != 0)
        return -EINVAL;
    seconds = (int64_t)timegm(&tm) - offset_s;
    if (seconds < 0)
        return -EINVAL;
    *ret_wall_ns = seconds * NS_PER_S + ns;
    return 0;
}
