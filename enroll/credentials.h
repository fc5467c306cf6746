/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the enroll room: what a sandbox keeps between two starts. The file is
 * sandbox-credentials.json in the configuration directory; when that belongs to another agent, it
 * is the one in sandboxes/NAME/ below. Its folder is locked for as long as the follower lives.
 */
#ifndef ENROLL_CREDENTIALS_H
#define ENROLL_CREDENTIALS_H

#include "enroll/enroll.h"

struct credentials {
    const struct enroll_keys *keys; /* borrowed */
    char folder[ENROLL_PATH_CAP];
    int lock_fd; /* -1: none */
    bool has_key;
    uint8_t private_key[32];
    char name[ENROLL_NAME_MAX + 1];
    char jwt[ENROLL_SECRET_CAP]; /* "": not enrolled yet */
    char refresh[128];
};

/** credentials_open() - Find, lock and read those of agent @name below @dir, which is made.
 * Errors: -EBUSY a sandbox of this name runs; -EACCES others could read the file; -EINVAL, -errno;
 * all with @why. A missing file is no error: then nothing but folder, name and lock_fd is set. */
int credentials_open(const char *dir, const char *name, const struct enroll_keys *keys,
                     struct credentials *ret, struct why *why) MUST_USE;
/** credentials_save() - Replace the file, and the agent's token file, as one step each. */
int credentials_save(const struct credentials *c, struct why *why) MUST_USE;
/** credentials_token_path() - The file that holds the JWT alone. */
void credentials_token_path(const struct credentials *c, char *ret, size_t cap);

#endif
