/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens libcrypto once for the process. Nothing is called here.
 */
#include "base/libcrypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static struct libcrypto library;
static const char *const names[] = {LIBCRYPTO_FUNCTIONS(LIBRARY_NAME)};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_it(void)
{
    struct why why = {0};

    if (library_open("libcrypto.so.3", "libssl3", names, ARRAY_COUNT(names), &library, &why) == 0)
        return;
    log_error("the crypto library cannot be used", F_STR("why", why.text));
    _exit(EXIT_FAILURE);
}

const struct libcrypto *libcrypto(void)
{
    must(pthread_once(&once, open_it) == 0);
    return &library;
}
