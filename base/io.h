/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors: the interruptions and short transfers of read(2) and write(2), dealt with once.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/why.h"

/** io_read() - One read(2), repeated while interrupted. Returns bytes, 0 at the end, or -errno. */
ssize_t io_read(int fd, void *ret, size_t cap) MUST_USE;
/** io_write() - One write(2), repeated while interrupted. Returns bytes or -errno. */
ssize_t io_write(int fd, const void *data, size_t len) MUST_USE;
/** io_write_all() - Write all of @data to a blocking descriptor. Returns 0 or -errno. */
int io_write_all(int fd, const void *data, size_t len) MUST_USE;
/** io_read_file() - Append the regular file @path to @ret (its maximum is the limit).
 * Errors: -errno of open(2)/read(2), -EISDIR, -EMSGSIZE larger than the buffer may get; said in
 * @why. */
int io_read_file(const char *path, struct buf *ret, struct why *why) MUST_USE;
/** io_set_nonblock() - Set O_NONBLOCK. Returns 0 or -errno. */
int io_set_nonblock(int fd) MUST_USE;
/** io_fdinfo() - The number behind @key (as "mnt_id:") in what /proc/self/fdinfo says about @fd,
 * proc(5). Returns 0, or -errno: -ENOENT there is no such line. */
int io_fdinfo(int fd, const char *key, long *ret) MUST_USE;
/** io_mkdirs() - Create directory @path and its parents, mode 0700. Returns 0 or -errno. */
int io_mkdirs(const char *path) MUST_USE;

#endif
