/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Randomness. Engines are handed a struct rng, so that tests can replay a run from a printed seed.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/** A source of random bytes: fill() writes @len bytes to @ret and cannot fail. */
struct rng {
    void (*fill)(void *self, void *ret, size_t len);
    void *self; /* borrowed */
};

/** rng_system() - The kernel's generator, getrandom(2). Safe for keys. */
struct rng rng_system(void);

uint32_t rng_u32(struct rng rng);
uint64_t rng_u64(struct rng rng);

#endif
