/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of ours jails itself once its start-up is done, so that whoever takes it over by a bug
 * in a parser gains little: no privilege, no exec, and only the system calls that its work needs.
 * docs/decisions/ says why refused calls answer EPERM and exec ends the process.
 */
#ifndef BASE_SELFJAIL_H
#define BASE_SELFJAIL_H

#include <stdbool.h>

#include "base/must.h"
#include "base/why.h"

/** What the work needs beyond memory, time, timers, and the descriptors that are open already or
 * come from opening files for reading. */
enum selfjail_need {
    SELFJAIL_SOCKETS_UNIX = 1 << 0,
    SELFJAIL_SOCKETS_INET = 1 << 1, /* TCP and UDP */
    SELFJAIL_SOCK_DIAG = 1 << 2,    /* netlink, to ask the kernel about sockets */
    SELFJAIL_PROCESSES = 1 << 3,    /* other processes: their memory, descriptors, signals, end */
    SELFJAIL_OPEN_WRITE = 1 << 4,   /* open existing files for writing (/proc/PID/mem) */
    SELFJAIL_FILES = 1 << 5,        /* create, write, rename and remove files below writable_dir */
    SELFJAIL_THREADS = 1 << 6,
    SELFJAIL_HELD_FILES = 1 << 7, /* lock and cut files that are open for writing already */
};

struct selfjail {
    unsigned needs;           /* enum selfjail_need */
    const char *writable_dir; /* with SELFJAIL_FILES; borrowed for the call */
};

/** What stands afterwards, for a report. */
struct selfjail_result {
    bool has_landlock; /* no file writes outside of writable_dir and no exec, by Landlock too */
};

/**
 * selfjail_enter() - Drop all capabilities, set no_new_privs, become non-dumpable, enter a Landlock
 * domain where there is one (not with SELFJAIL_PROCESSES: a domain would take those away), and load
 * the filter. Cannot be undone. Call it with one thread. @ret may be NULL.
 * Errors: -errno, said in @why; the process may be partly jailed and should end.
 */
int selfjail_enter(const struct selfjail *jail, struct selfjail_result *ret,
                   struct why *why) MUST_USE;

#endif
