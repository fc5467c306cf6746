/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash chain that binds the lines of a log. Each run of an auditor is one chain; its records
 * are numbered 1, 2, … without gaps. A line ends with
 *
 *     ,"chain":"16 hex digits","seq":N,"hash":"64 hex digits"}
 *
 * where hash = SHA-256(hash of the record before in this chain, or 32 zero bytes, followed by the
 * line's bytes from `{` up to the comma before "hash"). Record 1 also has, just before "chain",
 * "after": the hash of the line that stood last in the file, so that a whole run cannot be taken
 * out. What a chain alone cannot show is the loss of its end: for that there are the stop record,
 * the head file, and the copies on the stream.
 */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/must.h"

#define CHAIN_ID_LEN 16u

struct chain {
    char id[CHAIN_ID_LEN + 1];
    uint64_t seq;           /* of the last sealed record; 0: none yet */
    uint8_t head[HASH_LEN]; /* hash of that record; zero: none yet */
};

/** What the end of a line says. */
struct chain_seal {
    char id[CHAIN_ID_LEN + 1];
    uint64_t seq;
    uint8_t hash[HASH_LEN];
    bool has_after;
    uint8_t after[HASH_LEN];
    struct bytes covered; /* the bytes that the hash covers; borrows from the line */
};

/** chain_init() - A new chain named by @number. */
void chain_init(struct chain *c, uint64_t number);

/** chain_seal() - Finish the line that begins at @from in @line, an object without its closing
 * brace: number it, add its hash, close it, end the line. @after is used for record 1 alone. On
 * failure neither @c nor the line may be used. */
int chain_seal(struct chain *c, const uint8_t after[static HASH_LEN], size_t from,
               struct buf *line) MUST_USE;

/** chain_read() - Take a line (without its newline) apart. Errors: -EINVAL it does not end so. */
int chain_read(struct bytes line, struct chain_seal *ret) MUST_USE;

/** chain_hash() - The hash that a record must have whose predecessor has @prev. */
int chain_hash(const uint8_t prev[static HASH_LEN], struct bytes covered,
               uint8_t ret[static HASH_LEN]) MUST_USE;

#endif
