/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's generator behind the injectable interface. It blocks only before the machine's pool
 * is first seeded; short reads and interruptions are dealt with here.
 */
#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "base/must.h"

static void fill_from_kernel(void *self, void *ret, size_t len)
{
    uint8_t *p = ret;

    (void)self;
    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);

        must(got > 0 || errno == EINTR);
        if (got > 0) {
            p += got;
            len -= (size_t)got;
        }
    }
}

struct rng rng_system(void)
{
    return (struct rng){.fill = fill_from_kernel};
}

uint32_t rng_u32(struct rng rng)
{
    uint32_t v;

    rng.fill(rng.self, &v, sizeof(v));
    return v;
}

uint64_t rng_u64(struct rng rng)
{
    uint64_t v;

    rng.fill(rng.self, &v, sizeof(v));
    return v;
}
