/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. Engines never read a clock: they are handed a struct mono, so tests can run them in virtual
 * time. Only programs and the loop call mono_now().
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/must.h"

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/** A point on the monotonic clock. Zero means "never set"; MONO_NEVER means "no deadline". */
struct mono {
    int64_t ns;
};

#define MONO_NEVER ((struct mono){.ns = INT64_MAX})

/** mono_now() - Read CLOCK_MONOTONIC. */
struct mono mono_now(void);

/** wall_now_ns() - Nanoseconds since 1970-01-01 UTC (CLOCK_REALTIME); for records, never for
 * timers. */
int64_t wall_now_ns(void);

/** Length of an RFC 3339 time with nanoseconds, `2026-11-22T01:02:03.123456789Z`, plus its NUL. */
#define RFC3339_CAP 31

/** wall_print() - Write @wall_ns as RFC 3339 in UTC with nine digits of fraction into @ret. */
void wall_print(int64_t wall_ns, char ret[static RFC3339_CAP]);

/** wall_parse() - Read an RFC 3339 time with seconds, up to nine digits of fraction, and `Z` or an
 * offset such as `+01:00`. @text is borrowed. Errors: -EINVAL not such a time, or before 1970. */
int wall_parse(struct bytes text, int64_t *ret_wall_ns) MUST_USE;

static inline struct mono mono_add_ns(struct mono t, int64_t ns)
{
    int64_t sum;

    if (__builtin_add_overflow(t.ns, ns, &sum))
        return MONO_NEVER;
    return (struct mono){.ns = sum};
}

static inline struct mono mono_add_ms(struct mono t, int64_t ms)
{
    return mono_add_ns(t, ms * NS_PER_MS);
}

static inline bool mono_before(struct mono a, struct mono b)
{
    return a.ns < b.ns;
}

static inline struct mono mono_min(struct mono a, struct mono b)
{
    return mono_before(a, b) ? a : b;
}

#endif
