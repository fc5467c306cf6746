/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests to latticed from what a command line said. What is wrong with a value latticed
 * says; here nothing is judged.
 */
#include "cmd/request_body.h"

#include <stdio.h>
#include <string.h>

/** Options that may be given again and again. False: too many. */
bool body_add_word(struct nameset *words, const char *word)
{
    if (nameset_add(words, bytes_of_str(word)) == 0)
        return true;
    (void)fprintf(stderr, "lattice: more than %u of one option\n", BODY_WORDS_MAX);
    return false;
}

void body_put_words(struct json_out *j, const char *key, const struct nameset *w)
{
    if (w->count == 0)
        return;
    json_key(j, key);
    json_open_array(j);
    for (unsigned i = 0; i < w->count; i++)
        json_str(j, w->items[i]);
    json_close_array(j);
}

/** A number goes as it is written; latticed says what is wrong with it. */
void body_put_number(struct json_out *j, const char *key, const char *digits)
{
    if (digits == NULL)
        return;
    json_key(j, key);
    if (digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 16)
        json_raw(j, bytes_of_str(digits));
    else
        json_str(j, digits);
}
