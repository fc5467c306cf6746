/* SPDX-License-Identifier: Apache-2.0 */
/* What is said when a library, or a function of it, is not there; and that what is there is called.
 */
#include "base/library.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/libcrypto.h"
#include "tests/support/suite.h"

#define MATH_FUNCTIONS(F) F(floor) F(ceil)

static struct {
    MATH_FUNCTIONS(LIBRARY_MEMBER)
} m;
static const char *const m_names[] = {MATH_FUNCTIONS(LIBRARY_NAME)};

START_TEST(functions_come_in_the_order_of_their_names)
{
    struct why why = {0};

    ck_assert_msg(library_open("libm.so.6", "libc6", m_names, ARRAY_COUNT(m_names), &m, &why) == 0,
                  "%s", why.text);
    ck_assert_double_eq(m.floor(1.5), 1.0);
    ck_assert_double_eq(m.ceil(1.5), 2.0);
}
END_TEST

START_TEST(a_missing_library_names_its_package)
{
    struct why why = {0};

    ck_assert_int_eq(
        library_open("libnot-there.so.1", "libnot-there1", m_names, ARRAY_COUNT(m_names), &m, &why),
        -ENOENT);
    ck_assert_str_eq(why.text, "libnot-there.so.1 is missing; run 'apt-get install libnot-there1'");
}
END_TEST

START_TEST(a_missing_function_is_named)
{
    static const char *const names[] = {"floor", "no_such_function"};
    struct why why = {0};
    void *slots[2];

    ck_assert_int_eq(library_open("libm.so.6", "libc6", names, ARRAY_COUNT(names), slots, &why),
                     -ENOENT);
    ck_assert_ptr_nonnull(strstr(why.text, "lacks no_such_function"));
}
END_TEST

START_TEST(the_crypto_library_is_opened_once)
{
    const struct libcrypto *c = libcrypto();

    ck_assert_ptr_eq(c, libcrypto());
    ck_assert_ptr_nonnull(c->EVP_sha256());
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(functions_come_in_the_order_of_their_names),
    SUITE_TEST(a_missing_library_names_its_package),
    SUITE_TEST(a_missing_function_is_named),
    SUITE_TEST(the_crypto_library_is_opened_once),
};
SUITE_MAIN("base/library", tests)
