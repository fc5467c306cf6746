/* SPDX-License-Identifier: Apache-2.0 */
/* The set of names: order, duplicates, limits and the algebra, against a plain array as oracle. */
#include "base/nameset.h"

#include <errno.h>
#include <stdio.h>

#include "tests/support/suite.h"

static void add(struct nameset *s, const char *name)
{
    ck_assert_int_eq(nameset_add(s, bytes_of_str(name)), 0);
}

/* Goal: names come out sorted and once each. Method: insert out of order, with a duplicate. */
START_TEST(add_keeps_sorted_without_duplicates)
{
    static const char *const want[] = {"", "a", "aa", "ab", "b"};
    struct nameset s;

    nameset_init(&s, 8);
    add(&s, "b");
    add(&s, "aa");
    add(&s, "");
    add(&s, "ab");
    add(&s, "a");
    add(&s, "aa");
    ck_assert_uint_eq(s.count, ARRAY_COUNT(want));
    for (unsigned i = 0; i < s.count; i++)
        ck_assert_str_eq(s.items[i], want[i]);
    nameset_done(&s);
    nameset_done(&s);
}
END_TEST

/* Goal: the maximum holds. Method: fill it, then one more, then one that is there already. */
START_TEST(add_beyond_maximum_is_refused)
{
    struct nameset s;

    nameset_init(&s, 2);
    add(&s, "x");
    add(&s, "y");
    ck_assert_int_eq(nameset_add(&s, bytes_of_str("z")), -ENOSPC);
    ck_assert_int_eq(nameset_add(&s, bytes_of_str("x")), 0);
    ck_assert_uint_eq(s.count, 2);
    ck_assert(!nameset_has(&s, bytes_of_str("z")));
    nameset_done(&s);
}
END_TEST

/* Goal: only the exact bytes match. Method: neighbours of a name that is there. */
START_TEST(has_compares_bytes)
{
    static const char *const others[] = {"read",      "read_filE", "read_file ",
                                         "Read_file", "",          "read_files"};
    struct nameset s;

    nameset_init(&s, 4);
    add(&s, "read_file");
    ck_assert(nameset_has(&s, bytes_of_str("read_file")));
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        ck_assert_msg(!nameset_has(&s, bytes_of_str(others[i])), "%s", others[i]);
    ck_assert(!nameset_has(&s, bytes_of("read_file\0x", 11)));
    ck_assert_int_eq(nameset_add(&s, bytes_of("a\0b", 3)), -EINVAL);
    nameset_done(&s);
}
END_TEST

/* Goal: intersection and subset agree with bit sets. Method: all pairs of subsets of five names. */
START_TEST(intersect_agrees_with_bit_sets)
{
    static const char *const names[] = {"alpha", "b", "gamma", "d", "epsilon"};

    for (unsigned x = 0; x < 32; x++) {
        for (unsigned y = 0; y < 32; y++) {
            struct nameset a, b, both;

            nameset_init(&a, 5);
            nameset_init(&b, 5);
            nameset_init(&both, 5);
            for (unsigned i = 0; i < 5; i++) {
                if (x >> i & 1)
                    add(&a, names[i]);
                if (y >> i & 1)
                    add(&b, names[i]);
            }
            ck_assert_int_eq(nameset_intersect(&a, &b, &both), 0);
            for (unsigned i = 0; i < 5; i++)
                ck_assert_int_eq(nameset_has(&both, bytes_of_str(names[i])), (x & y) >> i & 1);
            ck_assert_int_eq(nameset_is_subset(&a, &b), (x & ~y) == 0);
            nameset_done(&a);
            nameset_done(&b);
            nameset_done(&both);
        }
    }
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(add_keeps_sorted_without_duplicates),
    SUITE_TEST(add_beyond_maximum_is_refused),
    SUITE_TEST(has_compares_bytes),
    SUITE_TEST(intersect_agrees_with_bit_sets),
};

SUITE_MAIN("base/nameset", tests)
