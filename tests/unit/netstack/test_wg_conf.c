/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "netstack/wg/wg.h"
#include "tests/support/suite.h"

/* wg-quick files: what is read, what is warned about, and what each fault is told as. */

#define KEY_A "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=" /* the examples of wg(8) */
#define KEY_B "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY_C "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define HEAD  "[Interface]\nPrivateKey = " KEY_A "\n"
#define PEER  HEAD "[Peer]\nPublicKey = " KEY_B "\n"

static int parse(const char *text, struct wg_conf *ret, struct why *why)
{
    return wg_conf_parse("wg0.conf", bytes_of_str(text), ret, why);
}

/* Goal: everything that a usual file has arrives in the structure. */
START_TEST(full_file_is_read)
{
    static const char text[] = "# my tunnel\r\n"
                               "[INTERFACE]\r\n"
                               "privatekey=" KEY_A "\r\n"
                               "Address = 10.0.0.2/24 , fd00::2\r\n"
                               "ADDRESS = 10.9.9.9   # another\r\n"
                               "DNS = 10.0.0.1, fd00::1, corp.example\r\n"
                               "MTU = 1380\r\n"
                               "ListenPort = 51820\r\n"
                               "\r\n"
                               "[Peer]\r\n"
                               "PublicKey = " KEY_B "\r\n"
                               "PresharedKey = " KEY_C "\r\n"
                               "AllowedIPs = 10.0.0.1/24, ::/0\r\n"
                               "AllowedIPs = 192.0.2.7\r\n"
                               "Endpoint = [2001:db8::1]:51820\r\n"
                               "PersistentKeepalive = 25\r\n"
                               "[peer]\n"
                               "PublicKey = " KEY_C "\n"
                               "AllowedIPs =\n"
                               "Endpoint = vpn.example.org:443\n"
                               "PersistentKeepalive = OFF";
    struct prefix masked;
    struct wg_conf c = {0};
    char key[WG_KEY_TEXT_CAP];
    char ip[IP_TEXT_CAP];
    char at[ENDPOINT_TEXT_CAP];

    ck_assert_int_eq(parse(text, &c, NULL), 0);
    wg_key_print(c.private_key, key);
    ck_assert_str_eq(key, KEY_A);
    ck_assert_uint_eq(c.address_count, 3);
    ck_assert_str_eq(ip_print(&c.addresses[0].ip, ip), "10.0.0.2");
    ck_assert_uint_eq(c.addresses[0].bits, 24);
    ck_assert_str_eq(ip_print(&c.addresses[1].ip, ip), "fd00::2");
    ck_assert_uint_eq(c.addresses[1].bits, 128);
    ck_assert_str_eq(ip_print(&c.addresses[2].ip, ip), "10.9.9.9");
    ck_assert_uint_eq(c.dns_count, 2);
    ck_assert_str_eq(ip_print(&c.dns[1], ip), "fd00::1");
    ck_assert_str_eq(c.dns_search, "corp.example");
    ck_assert_uint_eq(c.mtu, 1380);
    ck_assert_uint_eq(c.listen_port, 51820);
    ck_assert_uint_eq(c.peer_count, 2);
    wg_key_print(c.peers[0].preshared_key, key);
    ck_assert_str_eq(key, KEY_C);
    ck_assert_uint_eq(c.peers[0].allowed_ip_count, 3);
    ck_assert_int_eq(prefix_parse(bytes_of_str("10.0.0.0/24"), false, &masked), 0);
    ck_assert_mem_eq(&c.peers[0].allowed_ips[0], &masked, sizeof(masked));
    ck_assert(c.peers[0].has_endpoint);
    ck_assert_str_eq(endpoint_print(&c.peers[0].endpoint, at), "[2001:db8::1]:51820");
    ck_assert_uint_eq(c.peers[0].keepalive_s, 25);
    ck_assert(!c.peers[1].has_endpoint);
    ck_assert_str_eq(c.peers[1].endpoint_host, "vpn.example.org");
    ck_assert_uint_eq(c.peers[1].endpoint_port, 443);
    ck_assert_uint_eq(c.peers[1].keepalive_s, 0);
    ck_assert_uint_eq(c.peers[1].allowed_ip_count, 0);
    ck_assert_uint_eq(c.warning_count, 0);
    wg_conf_done(&c);
}
END_TEST

/* Goal: hooks and interface matters are warned about with their line, never run; the command's text
 * may hold anything, also commas and equals signs. */
START_TEST(hooks_are_warned_about_and_not_run)
{
    static const char text[] = HEAD "PostUp = touch /tmp/wg-conf-hook-ran, echo a=b\n"
                                    "PostUp = true\nPreDown = false\nTable = off\nFwMark = 0x5\n"
                                    "SaveConfig = true\n";
    struct wg_conf c = {0};

    ck_assert_int_eq(parse(text, &c, NULL), 0);
    ck_assert_uint_eq(c.warning_count, 6);
    ck_assert_str_eq(c.warnings[0], "wg0.conf:3: PostUp has no effect here, and is never run");
    ck_assert_str_eq(c.warnings[3], "wg0.conf:6: Table has no effect here, and is never run");
    ck_assert_int_ne(access("/tmp/wg-conf-hook-ran", F_OK), 0);
    wg_conf_done(&c);
}
END_TEST

/* Goal: warnings are bounded, and the last one says that there were more. */
START_TEST(many_warnings_are_bounded)
{
    struct wg_conf c = {0};
    struct buf text;

    buf_init(&text, 4096);
    buf_add_str(&text, HEAD);
    for (unsigned i = 0; i < 20; i++)
        buf_add_str(&text, "PostUp = true\n");
    ck_assert_int_eq(wg_conf_parse("wg0.conf", buf_bytes(&text), &c, NULL), 0);
    ck_assert_uint_eq(c.warning_count, 8);
    ck_assert_ptr_nonnull(strstr(c.warnings[7], "and more"));
    wg_conf_done(&c);
    buf_done(&text);
}
END_TEST

/* Rows: text, line, column, a part of what is said. */
static const struct fault {
    const char *text;
    unsigned line;
    unsigned column;
    const char *part;
} faults[] = {
    {"", 1, 1, "no [Interface]"},
    {"# nothing\n\n", 2, 1, "no [Interface]"},
    {"[Peer]\nPublicKey = " KEY_B "\n", 2, 1, "no [Interface]"},
    {"[Interface]\nAddress = 10.0.0.1\n", 1, 1, "no PrivateKey"},
    {HEAD "[Peer]\nAllowedIPs = ::/0\n", 3, 1, "no PublicKey"},
    {HEAD "[Peer]\n[Peer]\n", 3, 1, "no PublicKey"},
    {"PrivateKey = " KEY_A "\n", 1, 1, "before the first key"},
    {HEAD "  [Interface]\n", 3, 3, "second [Interface]"},
    {HEAD "[Peers]\n", 3, 1, "expected [Interface] or [Peer]"},
    {HEAD "[Peer\n", 3, 1, "expected [Interface] or [Peer]"},
    {HEAD "nonsense\n", 3, 1, "expected Key = Value"},
    {HEAD "  Colour = blue\n", 3, 3,
     "unknown key Colour in [Interface]; expected one of PrivateKey"},
    {HEAD "= blue\n", 3, 1, "unknown key"},
    {PEER "Colour = blue\n", 5, 1, "unknown key Colour in [Peer]; expected one of PublicKey"},
    {PEER "MTU = 1400\n", 5, 1, "MTU does not belong into [Peer]"},
    {HEAD "Endpoint = 192.0.2.1:1\n", 3, 1, "Endpoint does not belong into [Interface]"},
    {HEAD "PrivateKey = " KEY_A "\n", 3, 1, "PrivateKey is there twice"},
    {HEAD "MTU = 1400\nmtu = 1400\n", 4, 1, "MTU is there twice"},
    {PEER "PublicKey = " KEY_B "\n", 5, 1, "PublicKey is there twice"},
    {PEER "Endpoint = 192.0.2.1:1\nEndpoint = 192.0.2.1:1\n", 6, 1, "Endpoint is there twice"},
    {"[Interface]\nPrivateKey = abc\n", 2, 14, "expected a private key: 44 characters"},
    {"[Interface]\nPrivateKey =\n", 2, 13, "expected a private key"},
    {PEER "PresharedKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBml=\n", 5, 16, "preshared key"},
    {HEAD "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D!=\n", 4, 13,
     "public key"},
    {HEAD "Address = 10.0.0.1, 10.0.0.256\n", 3, 21, "10.0.0.256: expected an address"},
    {HEAD "Address = 10.0.0.1/33\n", 3, 11, "expected an address"},
    {HEAD "Address = 10.0.0.1,,10.0.0.2\n", 3, 20, "expected an address"},
    {HEAD "Address =\n", 3, 10, "expected an address"},
    {HEAD "DNS = 10.0.0\n", 3, 7,
     "10.0.0: expected the address of a DNS server or a search domain"},
    {HEAD "DNS = a..b\n", 3, 7, "search domain"},
    {HEAD "DNS = a/b\n", 3, 7, "search domain"},
    {HEAD "MTU = 575\n", 3, 7, "expected an MTU of 576"},
    {HEAD "MTU = 65473\n", 3, 7, "expected an MTU"},
    {HEAD "MTU = 1400 bytes\n", 3, 7, "expected an MTU"},
    {HEAD "ListenPort = 65536\n", 3, 14, "expected a port"},
    {HEAD "ListenPort = -1\n", 3, 14, "expected a port"},
    {PEER "AllowedIPs = 10.0.0.0/8, 10.0.0.0/x\n", 5, 26, "10.0.0.0/x: expected a prefix"},
    {PEER "AllowedIPs = ::/129\n", 5, 14, "expected a prefix"},
    {PEER "AllowedIPs = , ::/0\n", 5, 14, "expected a prefix"},
    {PEER "Endpoint = 192.0.2.1\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = 192.0.2.256:1\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = 192.0.2.1:0\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = 2001:db8::1:51820\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = host:port\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = host:0\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = a host:1\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "Endpoint = :51820\n", 5, 12, "expected 192.0.2.1:51820"},
    {PEER "PersistentKeepalive = 65536\n", 5, 23, "expected seconds"},
    {PEER "PersistentKeepalive = on\n", 5, 23, "expected seconds"},
};

/* Goal: each fault is found where it is, and the configuration is empty afterwards. */
START_TEST(fault_names_line_column_and_expectation)
{
    const struct fault *f = &faults[_i];
    struct wg_conf empty = {0};
    struct wg_conf c = {0};
    struct why why = {0};

    ck_assert_int_eq(parse(f->text, &c, &why), -EINVAL);
    ck_assert_msg(strstr(why.text, f->part) != NULL, "said: %s", why.text);
    ck_assert_str_eq(why.file, "wg0.conf");
    ck_assert_msg(why.line == f->line && why.column == f->column, "at %u:%u: %s", why.line,
                  why.column, why.text);
    ck_assert_mem_eq(&c, &empty, sizeof(c));
}
END_TEST

/* Goal: a message about a key never shows the key. */
START_TEST(fault_in_secret_is_not_shown)
{
    struct wg_conf c = {0};
    struct why why = {0};

    ck_assert_int_eq(parse("[Interface]\nPrivateKey = SECRETSECRET\n", &c, &why), -EINVAL);
    ck_assert_ptr_null(strstr(why.text, "SECRET"));
}
END_TEST

START_TEST(zero_byte_is_no_text)
{
    static const char text[] = HEAD "MTU = 14\0"
                                    "00\n";
    struct wg_conf c = {0};
    struct why why = {0};

    ck_assert_int_eq(wg_conf_parse("f", bytes_of(text, sizeof(text) - 1), &c, &why), -EINVAL);
    ck_assert_uint_eq(why.line, 3);
    ck_assert_uint_eq(why.column, 9);
}
END_TEST

START_TEST(byte_order_mark_is_skipped)
{
    struct wg_conf c = {0};

    ck_assert_int_eq(parse("\xef\xbb\xbf" HEAD, &c, NULL), 0);
    wg_conf_done(&c);
}
END_TEST

/* Rows: a line of [Interface] or [Peer], how many items the limit is. */
static const struct limit {
    const char *head;
    const char *item;
    unsigned max;
    const char *part;
} limits[] = {
    {HEAD, "Address = 10.0.0.1\n", WG_ADDRESSES_MAX, "more than 16 addresses"},
    {HEAD, "DNS = 10.0.0.1\n", WG_DNS_MAX, "more than 8 DNS"},
    {PEER, "AllowedIPs = 10.0.0.1\n", WG_ALLOWED_IPS_MAX, "more than 1024 allowed IPs"},
    {HEAD, "[Peer]\nPublicKey = " KEY_B "\n", WG_PEERS_MAX, "more than 65536 peers"},
};

/* Goal: as many as allowed are taken, one more is an error. */
START_TEST(one_more_than_the_limit_is_refused)
{
    const struct limit *l = &limits[_i];
    struct wg_conf c = {0};
    struct why why = {0};
    struct buf text;

    buf_init(&text, 8u << 20);
    buf_add_str(&text, l->head);
    for (unsigned i = 0; i < l->max; i++)
        buf_add_str(&text, l->item);
    ck_assert_int_eq(buf_error(&text), 0);
    ck_assert_int_eq(wg_conf_parse("f", buf_bytes(&text), &c, &why), 0);
    wg_conf_done(&c);
    buf_add_str(&text, l->item);
    ck_assert_int_eq(wg_conf_parse("f", buf_bytes(&text), &c, &why), -EINVAL);
    ck_assert_msg(strstr(why.text, l->part) != NULL, "said: %s", why.text);
    buf_done(&text);
}
END_TEST

/* Goal: a file that others may read is warned about; its neighbour, a private one, is not. */
START_TEST(load_warns_of_readable_file)
{
    char path[] = "/tmp/test_wg_conf.XXXXXX";
    unsigned fds = suite_open_fds();
    int fd = mkstemp(path);
    struct wg_conf c = {0};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, HEAD, strlen(HEAD)), (ssize_t)strlen(HEAD));
    (void)close(fd);
    ck_assert_int_eq(wg_conf_load(path, &c, NULL), 0);
    ck_assert_uint_eq(c.warning_count, 0);
    wg_conf_done(&c);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(wg_conf_load(path, &c, NULL), 0);
    ck_assert_uint_eq(c.warning_count, 1);
    ck_assert_ptr_nonnull(strstr(c.warnings[0], "mode 0644"));
    wg_conf_done(&c);
    (void)unlink(path);
    ck_assert_uint_eq(suite_open_fds(), fds);
}
END_TEST

START_TEST(load_of_missing_file_fails)
{
    struct wg_conf c = {0};
    struct why why = {0};

    ck_assert_int_eq(wg_conf_load("/proc/nonexistent/wg0.conf", &c, &why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why.text, "/proc/nonexistent/wg0.conf"));
    ck_assert_int_eq(wg_conf_load("/tmp", &c, &why), -EISDIR);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(full_file_is_read),
    SUITE_TEST(hooks_are_warned_about_and_not_run),
    SUITE_TEST(many_warnings_are_bounded),
    SUITE_ROWS(fault_names_line_column_and_expectation, ARRAY_COUNT(faults)),
    SUITE_TEST(fault_in_secret_is_not_shown),
    SUITE_TEST(zero_byte_is_no_text),
    SUITE_TEST(byte_order_mark_is_skipped),
    SUITE_ROWS(one_more_than_the_limit_is_refused, ARRAY_COUNT(limits)),
    SUITE_TEST(load_warns_of_readable_file),
    SUITE_TEST(load_of_missing_file_fails),
};

SUITE_MAIN("wg_conf", tests)
