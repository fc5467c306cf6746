/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen(3), and dlsym(3) for each name. It knows no library.
 */
#include "base/library.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* POSIX: dlsym()'s result is a function's address, too. */
static_assert(sizeof(void *) == sizeof(void (*)(void)), "functions and objects alike");

int library_open(const char *soname, const char *package, const char *const *names, unsigned count,
                 void *ret, struct why *why)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return why_set(why, -ENOENT, "%s is missing; run 'apt-get install %s'", soname, package);
    for (unsigned i = 0; i < count; i++) {
        void *function = dlsym(library, names[i]);

        if (function == NULL)
            return why_set(why, -ENOENT, "%s lacks %s; lattice needs a newer one", soname,
                           names[i]);
        memcpy((char *)ret + i * sizeof(function), &function, sizeof(function));
    }
    return 0;
}
