/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options: who has them, and what Linux keeps of a value (sandbox/options.h). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "sandbox/options.h"
#include "tests/support/suite.h"

struct row {
    enum vsock_kind kind;
    bool is_v6;
    int level;
    int name;
    int32_t value;
    int result; /* -errno, or 0 and then: */
    int32_t kept;
};

static const struct row rows[] = {
    {VSOCK_TCP, false, SOL_SOCKET, SO_REUSEADDR, 70000, 0, 1},
    {VSOCK_TCP, false, SOL_SOCKET, SO_DEBUG, 1, -EACCES, 0},
    {VSOCK_TCP, false, SOL_SOCKET, SO_PRIORITY, 6, 0, 6},
    {VSOCK_TCP, false, SOL_SOCKET, SO_PRIORITY, 7, -EPERM, 0},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TTL, 255, 0, 255},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TTL, 256, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TTL, 0, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TTL, -1, 0, 64},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TOS, 0xff, 0, 0xfc},
    {VSOCK_UDP, false, IPPROTO_IP, IP_TOS, 0xff, 0, 0xff},
    {VSOCK_UDP, false, IPPROTO_IP, IP_MULTICAST_TTL, -1, 0, 1},
    {VSOCK_TCP, false, IPPROTO_IP, IP_MULTICAST_TTL, 2, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_IP, IP_TRANSPARENT, 1, -EPERM, 0},
    {VSOCK_TCP, true, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, 0, 64},
    {VSOCK_TCP, true, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -2, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_KEEPIDLE, 0, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_KEEPIDLE, 1, 0, 1},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_DEFER_ACCEPT, 64, 0, 127},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_DEFER_ACCEPT, -1, 0, 0},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_LINGER2, 1000, 0, 120},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_WINDOW_CLAMP, 1, 0, 1152},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_THIN_DUPACK, 1, 0, 0},
    {VSOCK_TCP, false, IPPROTO_TCP, TCP_THIN_DUPACK, 7, -EINVAL, 0},
    {VSOCK_TCP, false, IPPROTO_IP, IP_UNICAST_IF, 0x01000000, 0, 0x01000000},
    {VSOCK_TCP, false, IPPROTO_IP, IP_UNICAST_IF, 1, -EADDRNOTAVAIL, 0},
    {VSOCK_UDP, true, IPPROTO_IPV6, IPV6_MULTICAST_IF, 7, -ENODEV, 0},
};

START_TEST(value_is_kept_as_linux_keeps_it)
{
    const struct row *r = &rows[_i];
    struct vsock v = {.kind = (uint8_t)r->kind, .is_v6 = r->is_v6};
    const struct option_row *option = option_find(&v, r->level, r->name);
    int32_t value = r->value;

    ck_assert_ptr_nonnull(option);
    ck_assert_int_eq(option_check(&v, option, &value), r->result);
    if (r->result == 0)
        ck_assert_int_eq(value, r->kept);
}
END_TEST

START_TEST(options_of_other_sockets_are_not_found)
{
    struct vsock udp4 = {.kind = VSOCK_UDP};
    struct vsock tcp6 = {.kind = VSOCK_TCP, .is_v6 = true};

    ck_assert_ptr_null(option_find(&udp4, IPPROTO_TCP, TCP_NODELAY));
    ck_assert_ptr_nonnull(option_find(&tcp6, IPPROTO_TCP, TCP_NODELAY));
    ck_assert_ptr_null(option_find(&udp4, IPPROTO_IPV6, IPV6_V6ONLY));
    ck_assert_ptr_nonnull(option_find(&tcp6, IPPROTO_IPV6, IPV6_V6ONLY));
    ck_assert(!option_level_is_known(&udp4, IPPROTO_TCP));
    ck_assert(option_level_is_known(&tcp6, IPPROTO_UDP));
}
END_TEST

START_TEST(answers_are_for_their_sockets)
{
    struct vsock udp4 = {.kind = VSOCK_UDP};
    struct vsock tcp4 = {.kind = VSOCK_TCP};
    struct vsock tcp6 = {.kind = VSOCK_TCP, .is_v6 = true};
    const struct option_answer *a = option_answer(&tcp4, IPPROTO_TCP, 19); /* TCP_REPAIR */

    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(a->get, 4);
    ck_assert_int_eq(a->set_zero, -EPERM);
    ck_assert_ptr_null(option_answer(&udp4, IPPROTO_TCP, 19));
    ck_assert_ptr_null(option_answer(&tcp4, IPPROTO_IPV6, 55));
    ck_assert_ptr_nonnull(option_answer(&tcp6, IPPROTO_IPV6, 55));
    ck_assert_int_eq(option_answer(&udp4, SOL_SOCKET, 26)->set_other, -EINVAL);
    ck_assert_ptr_null(option_answer(&udp4, SOL_SOCKET, SO_REUSEADDR));
}
END_TEST

START_TEST(bound_to_lo_keeps_inside)
{
    struct vsock v = {.kind = VSOCK_TCP};

    ck_assert(!option_keeps_inside(&v));
    ck_assert_int_eq(vsock_option_set(&v, SOL_SOCKET, SO_BINDTOIFINDEX, 2), 0);
    ck_assert(!option_keeps_inside(&v));
    ck_assert_int_eq(vsock_option_set(&v, SOL_SOCKET, SO_BINDTOIFINDEX, 1), 0);
    ck_assert(option_keeps_inside(&v));
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(answers_are_for_their_sockets),
    SUITE_TEST(bound_to_lo_keeps_inside),
    SUITE_ROWS(value_is_kept_as_linux_keeps_it, ARRAY_COUNT(rows)),
    SUITE_TEST(options_of_other_sockets_are_not_found),
};

int main(void)
{
    return suite_run("options", tests, (unsigned)ARRAY_COUNT(tests));
}
