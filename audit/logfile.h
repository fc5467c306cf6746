/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log file: sealed lines, appended whole or not at all. Several auditors may write the same
 * file; each appends a batch under a lock (flock), so that lines never mix.
 *
 * Lifecycle: logfile_open → logfile_append … → logfile_close.
 */
#ifndef AUDIT_LOGFILE_H
#define AUDIT_LOGFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/chain.h"
#include "base/bytes.h"
#include "base/must.h"
#include "base/why.h"

#define LOGFILE_BATCH_MAX (256u * 1024) /* bytes of unsealed lines in one append */

/** The calls that write, so that a test can make the n-th one fail. */
struct file_calls {
    ssize_t (*write)(void *self, int fd, const void *data, size_t len); /* as write(2), -errno */
    int (*sync)(void *self, int fd); /* as fdatasync(2), -errno */
    void *self;
};

/** file_calls_system() - The kernel's. */
struct file_calls file_calls_system(void);

struct logfile {
    int fd;
    int head_fd; /* FILE.head: the last line's place in its chain */
    int dir_fd;  /* O_PATH: what else stands beside the file is opened here */
    struct chain chain;
    bool is_dirty; /* written and not yet synced */
    struct file_calls calls;
    struct buf sealed; /* private: the batch while it is written */
};

/** logfile_open() - Open or create @path and its head file, 0600, in directories made 0700.
 * Errors: -errno with @why; -ELOOP a symbolic link (base/safe_dir.h), -EPERM another owner's,
 * others may write to it, or it has other names, -EINVAL not a regular file. */
int logfile_open(struct logfile *f, const char *path, uint64_t chain_number,
                 struct why *why) MUST_USE;
void logfile_close(struct logfile *f);

/** logfile_resume() - Go on with the chain of a writer that was killed: find its last record.
 * @ret_stopped: that record is a stop record. Errors: -errno; without a record of the chain it is
 * new. */
int logfile_resume(struct logfile *f, bool *ret_stopped) MUST_USE;

/**
 * logfile_append() - Seal and write @count lines: @lines holds objects without their closing brace,
 * each followed by a newline. All or nothing: after an error the file and the chain are as before
 * and the same lines may be handed in again. @ret receives the sealed lines (borrowed until the
 * next call). Errors: -errno of write(2): -ENOSPC, -EIO, -EFBIG, …
 */
int logfile_append(struct logfile *f, struct bytes lines, struct bytes *ret) MUST_USE;

/** logfile_read_head() - Read the head file of the log @path: the last record that was written.
 * Errors: -ENOENT there is none, or nothing was written yet; -EBADMSG it is not one. */
int logfile_read_head(const char *path, struct chain *ret) MUST_USE;

/** logfile_sync() - Force what was written to the disk. */
int logfile_sync(struct logfile *f) MUST_USE;

#endif
