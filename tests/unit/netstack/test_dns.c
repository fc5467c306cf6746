/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS codec: what it reads, what it refuses, and that every bound holds. Messages are put
 * together byte by byte here, so that the reader is not tested with the writer's own ideas.
 */
#include <errno.h>

#include "base/buf.h"
#include "netstack/netstack.h"
#include "tests/support/suite.h"

#define QUERY 0x0100u
#define REPLY 0x8180u

static const struct dns_question ASKED = {
    .id = 0x1234, .type = DNS_A, .recursion_desired = true, .name = "www.example.org"};

struct message {
    struct buf b;
};

static void u8(struct message *m, unsigned v)
{
    buf_add_char(&m->b, (char)v);
}

static void u16(struct message *m, unsigned v)
{
    u8(m, v >> 8);
    u8(m, v & 0xff);
}

static void u32(struct message *m, unsigned v)
{
    u16(m, v >> 16);
    u16(m, v & 0xffff);
}

/** "a.b" as labels and the root; a part "@N" is a compression pointer to offset N and ends the
 * name. */
static void name(struct message *m, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, ".");

        if (*text == '@') {
            u16(m, 0xc000u | (unsigned)strtoul(text + 1, NULL, 10));
            return;
        }
        u8(m, (unsigned)len);
        buf_add(&m->b, text, len);
        text += len + (text[len] == '.');
    }
    u8(m, 0);
}

static void header(struct message *m, unsigned flags, unsigned answers, unsigned authorities,
                   unsigned additionals)
{
    buf_init(&m->b, 1 << 16);
    u16(m, 0x1234);
    u16(m, flags);
    u16(m, 1);
    u16(m, answers);
    u16(m, authorities);
    u16(m, additionals);
}

static void question(struct message *m, const char *text, unsigned type)
{
    name(m, text);
    u16(m, type);
    u16(m, 1);
}

static void fixed(struct message *m, unsigned type, unsigned class, unsigned ttl, unsigned len)
{
    u16(m, type);
    u16(m, class);
    u32(m, ttl);
    u16(m, len);
}

static void a_record(struct message *m, const char *owner, unsigned ttl, unsigned last)
{
    name(m, owner);
    fixed(m, DNS_A, 1, ttl, 4);
    u32(m, 0xc0000200u | last);
}

static void cname_record(struct message *m, const char *owner, unsigned ttl, const char *target)
{
    size_t at;

    name(m, owner);
    fixed(m, DNS_CNAME, 1, ttl, 0);
    at = m->b.len;
    name(m, target);
    store_be16(m->b.data + at - 2, (uint16_t)(m->b.len - at));
}

static void opt_record(struct message *m, unsigned upper_rcode)
{
    u8(m, 0);
    fixed(m, 41, 1232, upper_rcode << 24, 0);
}

static int parse_reply(struct message *m, struct dns_reply *ret)
{
    int err = dns_parse_reply(buf_bytes(&m->b), &ASKED, ret);

    buf_done(&m->b);
    return err;
}

static int parse_query(struct message *m, struct dns_question *ret)
{
    int err = dns_parse_query(buf_bytes(&m->b), ret);

    buf_done(&m->b);
    return err;
}

/* Goal: a plain query and one with EDNS give the question in lower case. */
START_TEST(query_plain_and_edns)
{
    for (unsigned opt = 0; opt <= 1; opt++) {
        struct dns_question q;
        struct message m;

        header(&m, QUERY, 0, 0, opt);
        question(&m, "wWw.eXample.ORG", DNS_AAAA);
        if (opt)
            opt_record(&m, 0);
        ck_assert_int_eq(parse_query(&m, &q), 0);
        ck_assert_str_eq(q.name, "www.example.org");
        ck_assert_uint_eq(q.id, 0x1234);
        ck_assert_uint_eq(q.type, DNS_AAAA);
        ck_assert(q.recursion_desired);
    }
}
END_TEST

/* Goal: everything that is not a single-question query of class IN is refused. */
START_TEST(query_refused)
{
    for (int i = 0; i < 12; i++) {
        struct dns_question q;
        struct message m;

        header(&m, i == 1 ? REPLY : i == 2 ? 0x2800u : QUERY, i == 3, i == 4, i == 5 ? 2 : i == 6);
        if (i == 7)
            store_be16(m.b.data + 4, 0);
        if (i == 8)
            store_be16(m.b.data + 4, 2);
        question(&m, i == 9 ? "bad label.example" : "a.example", DNS_A);
        if (i == 10)
            m.b.data[m.b.len - 1] = 3; /* class CH */
        if (i == 11)
            u8(&m, 0); /* trailing byte */
        if (i == 5) {
            opt_record(&m, 0);
            opt_record(&m, 0);
        }
        ck_assert_msg(parse_query(&m, &q) == (i == 0 ? 0 : -EBADMSG), "case %d", i);
        ck_assert_msg(q.id == (i == 1 ? 0 : 0x1234), "case %d: the id is for the error's answer",
                      i);
    }
}
END_TEST

/* Goal: a query cut at any length is refused. */
START_TEST(query_truncated_refused)
{
    struct dns_question q;
    struct message m;

    header(&m, QUERY, 0, 0, 1);
    question(&m, "www.example.org", DNS_A);
    opt_record(&m, 0);
    for (size_t len = 0; len < m.b.len; len++)
        ck_assert_int_eq(dns_parse_query(bytes_of(m.b.data, len), &q), -EBADMSG);
    ck_assert_int_eq(parse_query(&m, &q), 0);
}
END_TEST

/* Goal: names at their limits are read, one beyond they are not. */
START_TEST(query_name_limits)
{
    char label[65];
    char text[300];
    struct dns_question q;
    struct message m;

    memset(label, 'a', sizeof(label));
    label[64] = '\0';
    for (unsigned last = 61; last <= 62; last++) { /* 3 × (63 + 1) + last + 1 + 1 = 255, 256 */
        (void)snprintf(text, sizeof(text), "%.63s.%.63s.%.63s.%.*s", label, label, label, (int)last,
                       label);
        header(&m, QUERY, 0, 0, 0);
        question(&m, text, DNS_A);
        ck_assert_int_eq(parse_query(&m, &q), last == 61 ? 0 : -EBADMSG);
    }
    ck_assert_uint_eq(strlen(q.name), 0);
    header(&m, QUERY, 0, 0, 0);
    question(&m, label, DNS_A); /* 64: the length byte has a reserved bit set */
    ck_assert_int_eq(parse_query(&m, &q), -EBADMSG);
    header(&m, QUERY, 0, 0, 0);
    question(&m, "", DNS_NS); /* the root */
    ck_assert_int_eq(parse_query(&m, &q), 0);
    ck_assert_str_eq(q.name, "");
}
END_TEST

/* Goal: addresses come from the end of the chain, with the least TTL along it, in whatever order.
 */
START_TEST(reply_follows_chain)
{
    struct dns_reply r;
    struct message m;

    header(&m, REPLY, 5, 0, 1);
    question(&m, "WWW.example.org", DNS_A);
    a_record(&m, "edge.cdn.example", 30, 7);
    cname_record(&m, "mid.example.net", 20, "Edge.CDN.example");
    a_record(&m, "unrelated.example", 9, 66);
    cname_record(&m, "@12", 300, "mid.example.net");
    a_record(&m, "EDGE.cdn.example", 10, 8);
    opt_record(&m, 0);
    ck_assert_int_eq(parse_reply(&m, &r), 0);
    ck_assert_uint_eq(r.address_count, 2);
    ck_assert_uint_eq(r.addresses[0].ttl_s, 20);
    ck_assert_uint_eq(r.addresses[0].ip.bytes[3], 7);
    ck_assert_uint_eq(r.addresses[1].ttl_s, 10);
    ck_assert_uint_eq(r.addresses[1].ip.bytes[3], 8);
    ck_assert_int_eq(r.rcode, DNS_OK);
}
END_TEST

/* Goal: addresses of names outside the chain are no answers. */
START_TEST(reply_ignores_strangers)
{
    struct dns_reply r;
    struct message m;

    header(&m, REPLY, 1, 1, 1);
    question(&m, "www.example.org", DNS_A);
    a_record(&m, "www.example.org.evil.example", 30, 7);
    a_record(&m, "www.example.org", 30, 8); /* in the authority section */
    a_record(&m, "www.example.org", 30, 9); /* in the additional section */
    ck_assert_int_eq(parse_reply(&m, &r), 0);
    ck_assert_uint_eq(r.address_count, 0);
}
END_TEST

/* Goal: chains that loop, fork or never end are malformed. */
START_TEST(reply_bad_chains)
{
    struct dns_reply r;
    struct message m;
    char from[32] = "www.example.org";
    char to[32];

    header(&m, REPLY, 2, 0, 0);
    question(&m, "www.example.org", DNS_A);
    cname_record(&m, "www.example.org", 30, "b.example");
    cname_record(&m, "b.example", 30, "www.example.org");
    ck_assert_int_eq(parse_reply(&m, &r), -EBADMSG);

    header(&m, REPLY, 2, 0, 0);
    question(&m, "www.example.org", DNS_A);
    cname_record(&m, "www.example.org", 30, "b.example");
    cname_record(&m, "www.example.org", 30, "c.example");
    ck_assert_int_eq(parse_reply(&m, &r), -EBADMSG);

    for (unsigned links = 15; links <= 16; links++) {
        (void)snprintf(from, sizeof(from), "www.example.org");
        header(&m, REPLY, links + 1, 0, 0);
        question(&m, "www.example.org", DNS_A);
        for (unsigned i = 0; i < links; i++) {
            (void)snprintf(to, sizeof(to), "n%u.example", i);
            cname_record(&m, from, 30, to);
            memcpy(from, to, sizeof(from));
        }
        a_record(&m, from, 5, 1);
        ck_assert_int_eq(parse_reply(&m, &r), links == 15 ? 0 : -EBADMSG);
    }
}
END_TEST

/* Goal: pointers that point forward, to themselves, into the header, or too often are malformed. */
START_TEST(reply_bad_pointers)
{
    static const unsigned targets[] = {33, 34, 4095, 0, 11};
    struct dns_reply r;
    struct message m;

    for (unsigned i = 0; i < ARRAY_COUNT(targets); i++) {
        header(&m, REPLY, 1, 0, 0);
        question(&m, "www.example.org", DNS_A); /* ends at offset 33, where the owner begins */
        ck_assert_uint_eq(m.b.len, 33);
        u16(&m, 0xc000u | targets[i]);
        fixed(&m, DNS_A, 1, 30, 4);
        u32(&m, 0);
        ck_assert_int_eq(parse_reply(&m, &r), -EBADMSG);
    }
    for (unsigned jumps = 127; jumps <= 128; jumps++) { /* pointer to pointer, in a record's data */
        header(&m, REPLY, 2, 0, 0);
        question(&m, "www.example.org", DNS_A);
        name(&m, "x");
        fixed(&m, DNS_TXT, 1, 0, 2 * (jumps - 1));
        for (unsigned i = 0; i < jumps - 1; i++)
            u16(&m, 0xc000u | (i == 0 ? 12 : (unsigned)m.b.len - 2));
        u16(&m, 0xc000u | ((unsigned)m.b.len - 2));
        fixed(&m, DNS_A, 1, 30, 4);
        u32(&m, 0xc0000201u);
        ck_assert_int_eq(parse_reply(&m, &r), jumps == 127 ? 0 : -EBADMSG);
    }
    ck_assert_uint_eq(r.address_count, 1);
}
END_TEST

/* Goal: a pointer forward to a name that is sound is refused; backwards to the same name it is
 * read. */
START_TEST(reply_forward_pointer_refused)
{
    struct dns_reply r;
    struct message m;

    header(&m, REPLY, 2, 0, 0);
    question(&m, "www.example.org", DNS_A); /* ends at offset 33 */
    a_record(&m, "www.example.org", 30, 1);
    a_record(&m, "@33", 30, 2);
    ck_assert_int_eq(parse_reply(&m, &r), 0);
    ck_assert_uint_eq(r.address_count, 2);

    header(&m, REPLY, 2, 0, 0);
    question(&m, "www.example.org", DNS_A);
    a_record(&m, "@49", 30, 1); /* 16 bytes long: the next owner stands at 49 */
    ck_assert_uint_eq(m.b.len, 49);
    a_record(&m, "www.example.org", 30, 2);
    ck_assert_int_eq(parse_reply(&m, &r), -EBADMSG);
}
END_TEST

/* Goal: an answer to another question (id, name, type), or no answer at all, is refused. */
START_TEST(reply_to_another_question_refused)
{
    for (int i = 0; i < 8; i++) {
        struct dns_reply r;
        struct message m;

        header(&m, i == 1 ? QUERY : i == 2 ? REPLY | 0x2800u : REPLY, 1, 0, 0);
        if (i == 3)
            m.b.data[0] ^= 1;
        question(&m, i == 4 ? "www.example.com" : "www.example.org", i == 5 ? DNS_AAAA : DNS_A);
        if (i == 6)
            m.b.data[m.b.len - 1] = 3;
        a_record(&m, "@12", 30, 1);
        if (i == 7)
            u8(&m, 0);
        ck_assert_msg(parse_reply(&m, &r) == (i == 0 ? 0 : -EBADMSG), "case %d", i);
    }
}
END_TEST

/* Goal: bad record data is refused: wrong address length, class, overlong data, alias with a tail.
 */
START_TEST(reply_bad_records)
{
    for (int i = 0; i < 6; i++) {
        struct dns_reply r;
        struct message m;

        header(&m, REPLY, 1, 0, 0);
        question(&m, "www.example.org", DNS_A);
        name(&m, "@12");
        switch (i) {
        case 0:
            fixed(&m, DNS_A, 1, 30, 4);
            u32(&m, 0);
            break;
        case 1:
            fixed(&m, DNS_A, 1, 30, 5);
            u32(&m, 0);
            u8(&m, 0);
            break;
        case 2:
            fixed(&m, DNS_A, 3, 30, 4);
            u32(&m, 0);
            break;
        case 3:
            fixed(&m, DNS_A, 1, 30, 5);
            u32(&m, 0);
            break;
        case 4:
            fixed(&m, DNS_CNAME, 1, 30, 3);
            u16(&m, 0xc00c);
            u8(&m, 0);
            break;
        default:
            fixed(&m, DNS_CNAME, 1, 30, 1);
            u16(&m, 0xc00c);
            break;
        }
        ck_assert_msg(parse_reply(&m, &r) == (i == 0 ? 0 : -EBADMSG), "case %d", i);
    }
}
END_TEST

/* Goal: response codes: no addresses with an error; the upper bits of EDNS count; unknown ones
 * fail. */
START_TEST(reply_rcodes)
{
    for (unsigned rcode = 0; rcode < 16; rcode++) {
        struct dns_reply r;
        struct message m;

        header(&m, REPLY | rcode, 1, 0, 1);
        question(&m, "www.example.org", DNS_A);
        a_record(&m, "@12", 0x80000000u, 1);
        opt_record(&m, 0);
        ck_assert_int_eq(parse_reply(&m, &r), 0);
        ck_assert_int_eq(r.rcode, rcode <= DNS_REFUSED ? rcode : DNS_SERVFAIL);
        ck_assert_uint_eq(r.address_count, rcode == 0);
        if (rcode == 0)
            ck_assert_uint_eq(r.addresses[0].ttl_s, 0); /* RFC 2181 8: the top bit means zero */
        header(&m, REPLY | rcode, 0, 0, 1);
        question(&m, "www.example.org", DNS_A);
        opt_record(&m, 1);
        ck_assert_int_eq(parse_reply(&m, &r), 0);
        ck_assert_int_eq(r.rcode, DNS_SERVFAIL);
    }
}
END_TEST

/* Goal: a truncated answer says so and gives no address, even when it ends in the middle. */
START_TEST(reply_truncated_has_no_addresses)
{
    struct dns_reply r;
    struct message m;

    header(&m, REPLY | 0x0200u, 9, 0, 0);
    question(&m, "www.example.org", DNS_A);
    a_record(&m, "@12", 30, 1);
    m.b.len -= 2;
    ck_assert_int_eq(parse_reply(&m, &r), 0);
    ck_assert(r.is_truncated);
    ck_assert_uint_eq(r.address_count, 0);
}
END_TEST

/* Goal: more addresses than fit are left out, not overrun; a message beyond the limit is refused.
 */
START_TEST(reply_many_addresses)
{
    struct dns_reply r;
    struct message m;

    for (unsigned count = 64; count <= 65; count++) {
        header(&m, REPLY, count, 0, 0);
        question(&m, "www.example.org", DNS_A);
        for (unsigned i = 0; i < count; i++)
            a_record(&m, "@12", 30, i);
        ck_assert_int_eq(parse_reply(&m, &r), 0);
        ck_assert_uint_eq(r.address_count, DNS_ANSWERS_MAX);
    }
    header(&m, REPLY, 1, 0, 0);
    question(&m, "www.example.org", DNS_A);
    name(&m, "x");
    fixed(&m, DNS_TXT, 1, 0, DNS_MESSAGE_MAX);
    for (unsigned i = 0; i < DNS_MESSAGE_MAX; i++)
        u8(&m, 0);
    ck_assert_int_eq(parse_reply(&m, &r), -EBADMSG);
}
END_TEST

/* Goal: what the writers write, the readers read back; every shorter buffer is refused. */
START_TEST(write_read_round_trip)
{
    struct dns_reply reply = {.question = ASKED, .address_count = DNS_ANSWERS_MAX};
    uint8_t out[DNS_MESSAGE_MAX];
    struct dns_question q;
    struct dns_reply back;
    int len = dns_write_query(&ASKED, out, sizeof(out));

    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(dns_parse_query(bytes_of(out, (size_t)len), &q), 0);
    ck_assert(q.id == ASKED.id && q.type == ASKED.type && q.recursion_desired);
    ck_assert_str_eq(q.name, ASKED.name);
    for (size_t cap = 0; cap < (size_t)len; cap++)
        ck_assert_int_eq(dns_write_query(&ASKED, out, cap), -ENOBUFS);

    for (unsigned i = 0; i < DNS_ANSWERS_MAX; i++)
        reply.addresses[i] = (struct dns_address){.ip = ip_v4(192, 0, 2, (uint8_t)i), .ttl_s = i};
    len = dns_write_reply(&reply, out, sizeof(out));
    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(dns_parse_reply(bytes_of(out, (size_t)len), &ASKED, &back), 0);
    ck_assert_uint_eq(back.address_count, DNS_ANSWERS_MAX);
    for (unsigned i = 0; i < DNS_ANSWERS_MAX; i++)
        ck_assert(ip_equal(&back.addresses[i].ip, &reply.addresses[i].ip) &&
                  back.addresses[i].ttl_s == i);
    for (size_t cap = 0; cap < (size_t)len; cap++)
        ck_assert_int_eq(dns_write_reply(&reply, out, cap), -ENOBUFS);

    len = dns_write_error(&ASKED, DNS_NXDOMAIN, out, sizeof(out));
    ck_assert_int_eq(dns_parse_reply(bytes_of(out, (size_t)len), &ASKED, &back), 0);
    ck_assert_int_eq(back.rcode, DNS_NXDOMAIN);
    q = (struct dns_question){.id = 7};
    ck_assert_int_eq(dns_write_error(&q, DNS_FORMERR, out, sizeof(out)), 12);
    ck_assert_uint_eq(out[5], 0); /* no question that could be echoed */
}
END_TEST

/* Goal: a name that is none is not written. */
START_TEST(write_bad_names_refused)
{
    static const char *const bad[] = {"a..b", ".a", "a.", "."};
    struct dns_question q = ASKED;
    uint8_t out[DNS_MESSAGE_MAX];

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        (void)snprintf(q.name, sizeof(q.name), "%s", bad[i]);
        ck_assert_int_eq(dns_write_query(&q, out, sizeof(out)), -EINVAL);
    }
    memset(q.name, 'a', 64);
    q.name[64] = '\0';
    ck_assert_int_eq(dns_write_query(&q, out, sizeof(out)), -EINVAL);
    q.name[63] = '\0';
    ck_assert_int_gt(dns_write_query(&q, out, sizeof(out)), 0);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_TEST(query_plain_and_edns),
    SUITE_TEST(query_refused),
    SUITE_TEST(query_truncated_refused),
    SUITE_TEST(query_name_limits),
    SUITE_TEST(reply_follows_chain),
    SUITE_TEST(reply_ignores_strangers),
    SUITE_TEST(reply_bad_chains),
    SUITE_TEST(reply_bad_pointers),
    SUITE_TEST(reply_forward_pointer_refused),
    SUITE_TEST(reply_to_another_question_refused),
    SUITE_TEST(reply_bad_records),
    SUITE_TEST(reply_rcodes),
    SUITE_TEST(reply_truncated_has_no_addresses),
    SUITE_TEST(reply_many_addresses),
    SUITE_TEST(write_read_round_trip),
    SUITE_TEST(write_bad_names_refused),
};

SUITE_MAIN("netstack/dns", tests)
