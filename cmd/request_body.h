/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of a request's body that several commands have.
 */
#ifndef CMD_REQUEST_BODY_H
#define CMD_REQUEST_BODY_H

#include <stdbool.h>

#include "base/json_out.h"
#include "base/nameset.h"

#define BODY_WORDS_MAX 256u /* tools or rules on one command line */

/** body_add_word() - Take an option that may be given again and again. False: too many, and that
 * has been said. */
bool body_add_word(struct nameset *words, const char *word);
/** body_put_words() - An array of strings; no member when @w is empty. */
void body_put_words(struct json_out *j, const char *key, const struct nameset *w);
/** body_put_number() - A number as it is written; no member when @digits is NULL. */
void body_put_number(struct json_out *j, const char *key, const char *digits);

#endif
