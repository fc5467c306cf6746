/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound ownership. A variable declared auto_fd or auto_free releases what it holds when its
 * scope ends; take_fd() and take_ptr() move the thing out, so that the caller owns it from then on.
 */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

static inline void own_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing useful can be done about a failing close */
    *fd = -1;
}

static inline void own_free(void *slot)
{
    void **p = slot;

    free(*p);
    *p = NULL;
}

#define auto_fd   __attribute__((cleanup(own_close))) int
#define auto_free __attribute__((cleanup(own_free)))

/** take_fd() - Give the descriptor away; the variable holds -1 afterwards. */
static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/** take_ptr() - Give the pointer away; the variable holds NULL afterwards. */
#define take_ptr(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#endif
