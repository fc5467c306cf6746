/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted array of owned strings with binary search: sets are small (hundreds), are built once and
 * asked often.
 */
#include "base/nameset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void nameset_init(struct nameset *s, unsigned max)
{
    *s = (struct nameset){.max = max};
}

void nameset_done(struct nameset *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
    nameset_init(s, s->max);
}

static int compare(struct bytes a, const char *b)
{
    size_t b_len = strlen(b);
    size_t least = a.len < b_len ? a.len : b_len;
    int order = least > 0 ? memcmp(a.data, b, least) : 0;

    if (order != 0)
        return order;
    return a.len < b_len ? -1 : a.len > b_len;
}

/** Place of @name, or the place where it would have to be inserted. */
static unsigned place_of(const struct nameset *s, struct bytes name, bool *ret_found)
{
    unsigned low = 0;
    unsigned high = s->count;

    *ret_found = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare(name, s->items[middle]);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int make_room(struct nameset *s)
{
    unsigned cap = s->cap > 0 ? s->cap * 2 : 8;
    char **grown;

    if (s->count == s->max)
        return -ENOSPC;
    if (s->count < s->cap)
        return 0;
    grown = reallocarray(s->items, cap, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    s->items = grown;
    s->cap = cap;
    return 0;
}

int nameset_add(struct nameset *s, struct bytes name)
{
    bool found;
    unsigned at;
    char *copy;
    int err;

    if (name.len > 0 && memchr(name.data, '\0', name.len) != NULL)
        return -EINVAL;
    at = place_of(s, name, &found);
    if (found)
        return 0;
    err = make_room(s);
    if (err < 0)
        return err;
    copy = malloc(name.len + 1);
    if (copy == NULL)
        return -ENOMEM;
    if (name.len > 0)
        memcpy(copy, name.data, name.len);
    copy[name.len] = '\0';
    memmove(&s->items[at + 1], &s->items[at], (s->count - at) * sizeof(s->items[0]));
    s->items[at] = copy;
    s->count++;
    return 0;
}

bool nameset_has(const struct nameset *s, struct bytes name)
{
    bool found;

    (void)place_of(s, name, &found);
    return found;
}

bool nameset_is_subset(const struct nameset *a, const struct nameset *b)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!nameset_has(b, bytes_of_str(a->items[i])))
            return false;
    return true;
}

int nameset_intersect(const struct nameset *a, const struct nameset *b, struct nameset *ret)
{
    for (unsigned i = 0; i < a->count; i++) {
        struct bytes name = bytes_of_str(a->items[i]);
        int err = nameset_has(b, name) ? nameset_add(ret, name) : 0;

        if (err < 0)
            return err;
    }
    return 0;
}

int nameset_copy(const struct nameset *from, struct nameset *ret)
{
    for (unsigned i = 0; i < from->count; i++) {
        int err = nameset_add(ret, bytes_of_str(from->items[i]));

        if (err < 0)
            return err;
    }
    return 0;
}
