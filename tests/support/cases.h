/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the expectation tables under tests/cases: one case a line, fields apart by a separator
 * byte, blanks around fields dropped, empty lines and lines that begin with '#' skipped. A table
 * that is missing or malformed stops the program, so that no case can vanish silently.
 */
#ifndef TESTS_SUPPORT_CASES_H
#define TESTS_SUPPORT_CASES_H

#include "base/buf.h"

#define CASE_FIELDS_MAX 8

struct case_row {
    unsigned line; /* 1-based, for messages */
    unsigned count;
    char *fields[CASE_FIELDS_MAX];
};

struct case_table {
    struct buf text;
    struct case_row *rows;
    unsigned count;
};

void cases_load(const char *path, char separator, struct case_table *ret);
void cases_done(struct case_table *t);

/** case_bytes() - Decode %XX in place: the bytes that a text file cannot hold. */
struct bytes case_bytes(char *field);

#endif
