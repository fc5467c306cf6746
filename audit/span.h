/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which running process belongs to which span: a table of fixed size, by process id.
 */
#ifndef AUDIT_SPAN_H
#define AUDIT_SPAN_H

#include <stdint.h>

#include "audit/audit.h"

/** A program that runs. */
struct program {
    int32_t pid; /* 0: the slot is free */
    int32_t ppid;
    struct audit_span span;
    char tool[80]; /* "exec:NAME" */
};

struct programs {
    struct program *slots; /* AUDIT_PROGRAMS_MAX */
    unsigned count;
};

int programs_init(struct programs *p) MUST_USE;
void programs_done(struct programs *p);
/** programs_find() - NULL: not there. */
struct program *programs_find(const struct programs *p, int32_t pid);
/** programs_add() - A slot for @pid, which must not be there; NULL: the table is full. */
struct program *programs_add(struct programs *p, int32_t pid);
void programs_remove(struct programs *p, struct program *gone);

/** A new, random span id. */
void span_make_id(char ret[static AUDIT_SPAN_CAP]);

#endif
