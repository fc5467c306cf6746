/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory in which a file of ours is to be made, when programs that we do not trust can write
 * on the way to it: a symbolic link that they put there must not lead us elsewhere.
 */
#ifndef BASE_SAFE_DIR_H
#define BASE_SAFE_DIR_H

#include "base/must.h"
#include "base/why.h"

/**
 * safe_dir_open() - Open the directory of the file @path, one component after the other, each
 * relative to the one before, and make those that are missing (0700).
 * @path:     of a file; its last component is not looked at.
 * @ret_fd:   O_PATH descriptor for openat(2), with O_NOFOLLOW; the caller closes it.
 * @ret_name: the last component, within @path.
 * A symbolic link is followed unless it lies in the working directory (the workspace; "/" is none)
 * or below, or in a directory in which everybody may make names (/tmp).
 * Errors: -ELOOP such a link, or too many; -errno of openat(2) and mkdirat(2); said in @why.
 */
int safe_dir_open(const char *path, int *ret_fd, const char **ret_name, struct why *why) MUST_USE;

#endif
