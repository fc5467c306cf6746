/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `lattice sandbox start` and `lattice gateway` say about latticed: where it is, and the token
 * by which they are let in. A token on the command line is erased there at once, since everybody on
 * the machine can read it; a file is the better place.
 */
#ifndef CMD_ENROLL_OPTIONS_H
#define CMD_ENROLL_OPTIONS_H

#include "base/must.h"
#include "base/why.h"
#include "enroll/enroll.h"

struct enroll_options {
    struct enroll_server server; /* url NULL: not enrolled */
    char token[256];             /* one-time, or the gateway's; "": none */
    const char *token_file;
};

#define ENROLL_OPTION_HELP_URL   "Enrol with the latticed at this address and follow it."
#define ENROLL_OPTION_HELP_CA    "Certificates to trust for latticed, PEM."
#define ENROLL_OPTION_HELP_PLAIN "Speak plain HTTP with latticed although it is on another\nhost."

/** enroll_options_token() - Take a token from the command line, and erase it there. -EINVAL. */
int enroll_options_token(struct enroll_options *o, const char *value, struct why *why) MUST_USE;
/** enroll_options_finish() - Read the token's file, if one was named. */
int enroll_options_finish(struct enroll_options *o, struct why *why) MUST_USE;
/** enroll_options_done() - Wipe the token. */
void enroll_options_done(struct enroll_options *o);

extern const struct enroll_keys enroll_wg_keys;

#endif
