/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a log against its chains. One pass, in memory that does not grow with the file but with
 * the number of runs in it. It trusts nothing but the hash function: the head file may tell that
 * records are missing, never that they are in order.
 */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/chain.h"
#include "audit/lines.h"
#include "audit/logfile.h"
#include "base/io.h"
#include "base/own.h"

#define RUNS_MAX 65536u

struct run {
    struct chain chain;
    bool is_stopped;
    bool is_attested; /* a later run began right behind its last record */
};

struct verifier {
    struct run *runs;
    size_t count;
    size_t cap;
    struct run *last; /* the run of the line before, NULL: none yet */
    uint8_t last_hash[HASH_LEN];
    struct audit_check *check;
    struct why *why;
};

static struct run *find_run(struct verifier *v, const char *id)
{
    if (v->last != NULL && strcmp(v->last->chain.id, id) == 0)
        return v->last;
    for (size_t i = v->count; i > 0; i--)
        if (strcmp(v->runs[i - 1].chain.id, id) == 0)
            return &v->runs[i - 1];
    return NULL;
}

static struct run *add_run(struct verifier *v, const char *id)
{
    if (v->count == v->cap) {
        size_t cap = v->cap > 0 ? v->cap * 2 : 16;
        struct run *runs = cap <= RUNS_MAX ? realloc(v->runs, cap * sizeof(*runs)) : NULL;

        if (runs == NULL)
            return NULL;
        v->runs = runs;
        v->cap = cap;
    }
    v->runs[v->count] = (struct run){0};
    memcpy(v->runs[v->count].chain.id, id, CHAIN_ID_LEN + 1);
    return &v->runs[v->count++];
}

static int fault(struct verifier *v, uint64_t line, const char *format, ...) PRINTF_LIKE(3, 4);
static int fault(struct verifier *v, uint64_t line, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    v->check->bad_line = line;
    if (line > 0)
        return why_set(v->why, -EBADMSG, "line %" PRIu64 ": %s", line, text);
    return why_set(v->why, -EBADMSG, "%s", text);
}

/** The first record of a run says which line stood before it. */
static int check_first(struct verifier *v, uint64_t line, const struct chain_seal *seal)
{
    if (memcmp(seal->after, v->last_hash, HASH_LEN) != 0)
        return fault(v, line,
                     "run %s began behind another line than the one that stands before it: lines "
                     "were removed or moved here",
                     seal->id);
    if (v->last != NULL)
        v->last->is_attested = true;
    v->last = NULL;
    return 0;
}

static int check_place(struct verifier *v, uint64_t line, const struct chain_seal *seal,
                       struct run **ret)
{
    struct run *run = find_run(v, seal->id);
    uint64_t expected = run != NULL ? run->chain.seq + 1 : 1;
    int err;

    if (seal->seq > expected)
        return fault(v, line,
                     "records %" PRIu64 " to %" PRIu64
                     " of run %s are missing before it, or it was changed",
                     expected, seal->seq - 1, seal->id);
    if (seal->seq < expected)
        return fault(v, line, "record %" PRIu64 " of run %s is out of order or there twice",
                     seal->seq, seal->id);
    if (run == NULL) {
        err = check_first(v, line, seal);
        if (err < 0)
            return err;
        run = add_run(v, seal->id);
        if (run == NULL)
            return why_set(v->why, -ENOMEM, "too many runs in one file");
    }
    *ret = run;
    return 0;
}

static int check_line(struct verifier *v, struct bytes text, uint64_t line)
{
    static const char stop[] = "{\"kind\":\"stop\"";
    struct chain_seal seal;
    uint8_t hash[HASH_LEN];
    struct run *run = NULL;
    int err;

    if (chain_read(text, &seal) < 0)
        return fault(v, line, "it is not a record of ours, or its end was changed");
    err = check_place(v, line, &seal, &run);
    if (err < 0)
        return err;
    err = chain_hash(run->chain.head, seal.covered, hash);
    if (err < 0)
        return why_set(v->why, err, "cannot hash");
    if (memcmp(hash, seal.hash, HASH_LEN) != 0)
        return fault(v, line, "record %" PRIu64 " of run %s was changed", seal.seq, seal.id);
    run->chain.seq = seal.seq;
    memcpy(run->chain.head, hash, HASH_LEN);
    run->is_stopped = text.len > sizeof(stop) && memcmp(text.data, stop, sizeof(stop) - 1) == 0;
    run->is_attested = false;
    v->last = run;
    memcpy(v->last_hash, hash, HASH_LEN);
    v->check->records++;
    return 0;
}

static int check_head(struct verifier *v, const char *path)
{
    struct chain head;
    const struct run *run;
    int err = logfile_read_head(path, &head);

    if (err == -ENOENT)
        return 0;
    if (err < 0)
        return fault(v, 0, "the head file %s.head is damaged", path);
    v->check->has_head = true;
    run = find_run(v, head.id);
    if (run == NULL)
        return fault(v, 0, "run %s is missing at the end: the head file saw its record %" PRIu64,
                     head.id, head.seq);
    if (head.seq > run->chain.seq)
        return fault(v, 0, "records %" PRIu64 " to %" PRIu64 " of run %s are missing at the end",
                     run->chain.seq + 1, head.seq, head.id);
    if (head.seq == run->chain.seq && memcmp(head.head, run->chain.head, HASH_LEN) != 0)
        return fault(v, 0, "record %" PRIu64 " of run %s is not the one that the head file saw",
                     head.seq, head.id);
    return 0;
}

static int check_ends(struct verifier *v, bool may_run)
{
    const struct run *suspect = NULL;

    for (size_t i = 0; i < v->count; i++) {
        if (v->runs[i].is_stopped)
            continue;
        v->check->open_runs++;
        if (!v->runs[i].is_attested && !(may_run && &v->runs[i] == v->last))
            suspect = &v->runs[i];
    }
    v->check->runs = v->count;
    if (suspect == NULL)
        return 0;
    return fault(v, 0,
                 "run %s ends at record %" PRIu64
                 " without a stop record: it still runs, was killed together "
                 "with its auditor, or records after it were removed",
                 suspect->chain.id, suspect->chain.seq);
}

static int check_all(struct verifier *v, struct lines *lines, const char *path, bool may_run)
{
    struct bytes text;
    uint64_t number = 0;
    int got;
    int err;

    while ((got = lines_next(lines, &text)) == 1) {
        err = check_line(v, text, ++number);
        if (err < 0)
            return err;
    }
    if (got == -EMSGSIZE)
        return fault(v, number + 1, "it is longer than a record can be");
    if (got < 0)
        return why_set(v->why, got, "cannot read %s: %s", path, strerror(-got));
    if (lines_rest(lines) > 0)
        return fault(v, number + 1, "the file ends in the middle of it");
    err = check_head(v, path);
    return err < 0 ? err : check_ends(v, may_run);
}

int audit_verify(const char *path, bool may_run, struct audit_check *ret, struct why *why)
{
    struct verifier v = {.check = ret, .why = why};
    struct lines lines;
    int err = lines_open(&lines, path, 0, why);

    *ret = (struct audit_check){0};
    if (err < 0)
        return err;
    err = check_all(&v, &lines, path, may_run);
    lines_close(&lines);
    free(v.runs);
    return err;
}
