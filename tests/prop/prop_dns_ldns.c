/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our DNS codec beside ldns, a library that others wrote. Queries and replies that we write are
 * read by ldns with the same meaning; replies that ldns writes (with its compression) are read by
 * us with the addresses that were put in; and of replies with flipped bytes, whatever both accept
 * means the same to both. The seed is printed when a property fails; PROP_SEED repeats that run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "netstack/netstack.h"
#include "tests/support/suite.h"

#if LATTICE_HAVE_LDNS

#include <ldns/ldns.h>

#define RUNS      500u
#define LINKS_MAX 6u

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned sides)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(d->state >> 33) % sides;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("PROP_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : 20261122;
}

static unsigned runs(void)
{
    return getenv("PROP_SEED") != NULL ? 1 : RUNS;
}

static void make_name(struct dice *d, char *ret, size_t cap)
{
    static const char *const labels[] = {"a",
                                         "www",
                                         "Example",
                                         "cdn-1",
                                         "_srv",
                                         "xn--bcher-kva",
                                         "a-label-that-is-quite-long-but-not-too-long"};
    unsigned count = 1 + roll(d, 5);
    size_t len = 0;

    for (unsigned i = 0; i < count; i++)
        len += (size_t)snprintf(ret + len, cap - len, "%s.", labels[roll(d, ARRAY_COUNT(labels))]);
    (void)snprintf(ret + len, cap - len, "test%u.", roll(d, 1000));
}

/** The same name as our codec spells it. */
static void our_spelling(const char *name, char ret[static DNS_NAME_MAX + 1])
{
    (void)snprintf(ret, DNS_NAME_MAX + 1, "%s", name);
    for (char *c = ret; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c | 0x20);
    if (ret[0] != '\0' && ret[strlen(ret) - 1] == '.')
        ret[strlen(ret) - 1] = '\0';
}

static ldns_pkt *read_by_ldns(const uint8_t *data, int len)
{
    ldns_pkt *pkt = NULL;

    if (len < 0 || ldns_wire2pkt(&pkt, data, (size_t)len) != LDNS_STATUS_OK)
        return NULL;
    return pkt;
}

static void check_question(const ldns_pkt *pkt, const struct dns_question *q)
{
    const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(pkt), 0);
    char *name = ldns_rdf2str(ldns_rr_owner(rr));
    char ours[DNS_NAME_MAX + 1];

    our_spelling(name, ours);
    ck_assert_str_eq(ours, q->name);
    ck_assert_uint_eq(ldns_rr_get_type(rr), q->type);
    ck_assert_uint_eq(ldns_rr_get_class(rr), LDNS_RR_CLASS_IN);
    ck_assert_uint_eq(ldns_pkt_id(pkt), q->id);
    ck_assert_int_eq(ldns_pkt_rd(pkt), q->recursion_desired);
    free(name);
}

static struct dns_question make_question(struct dice *d, char *name, size_t cap)
{
    struct dns_question q = {.id = (uint16_t)roll(d, 65536),
                             .type = roll(d, 2) ? DNS_A : DNS_AAAA,
                             .recursion_desired = roll(d, 2) != 0};

    make_name(d, name, cap);
    our_spelling(name, q.name);
    return q;
}

START_TEST(ldns_reads_what_we_write)
{
    for (uint64_t seed = first_seed(), i = 0; i < runs(); i++, seed++) {
        static uint8_t out[DNS_MESSAGE_MAX];
        struct dice d = {.state = seed};
        char name[DNS_NAME_MAX + 2];
        static struct dns_reply r;
        ldns_pkt *pkt;

        r = (struct dns_reply){.question = make_question(&d, name, sizeof(name))};
        pkt = read_by_ldns(out, dns_write_query(&r.question, out, sizeof(out)));
        ck_assert_ptr_nonnull(pkt);
        check_question(pkt, &r.question);
        ck_assert(!ldns_pkt_qr(pkt) && ldns_pkt_edns(pkt) && ldns_pkt_edns_udp_size(pkt) == 1232);
        ldns_pkt_free(pkt);

        r.rcode = (enum dns_rcode)roll(&d, 6);
        r.address_count = roll(&d, DNS_ANSWERS_MAX + 1);
        for (unsigned k = 0; k < r.address_count; k++) {
            r.addresses[k].ip = ip_any(r.question.type == DNS_A ? IP_V4 : IP_V6);
            for (unsigned b = 0; b < ip_len(&r.addresses[k].ip); b++)
                r.addresses[k].ip.bytes[b] = (uint8_t)roll(&d, 256);
            r.addresses[k].ttl_s = roll(&d, INT32_MAX);
        }
        pkt = read_by_ldns(out, dns_write_reply(&r, out, sizeof(out)));
        ck_assert_ptr_nonnull(pkt);
        check_question(pkt, &r.question);
        ck_assert_int_eq(ldns_pkt_get_rcode(pkt), r.rcode);
        ck_assert_uint_eq(ldns_pkt_ancount(pkt), r.address_count);
        for (unsigned k = 0; k < r.address_count; k++) {
            const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(pkt), k);
            const ldns_rdf *rdf = ldns_rr_rdf(rr, 0);

            ck_assert_uint_eq(ldns_rr_ttl(rr), r.addresses[k].ttl_s);
            ck_assert_mem_eq(ldns_rdf_data(rdf), r.addresses[k].ip.bytes, ldns_rdf_size(rdf));
        }
        ldns_pkt_free(pkt);
    }
}
END_TEST

static void push(ldns_pkt *pkt, ldns_pkt_section section, const char *format, const char *owner,
                 unsigned ttl, const char *data)
{
    char text[3 * DNS_NAME_MAX];
    ldns_rr *rr = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the callers below hold the formats */
    (void)snprintf(text, sizeof(text), format, owner, ttl, data);
#pragma GCC diagnostic pop
    ck_assert_msg(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL) == LDNS_STATUS_OK, "%s", text);
    ck_assert(ldns_pkt_push_rr(pkt, section, rr));
}

/** A reply by ldns: a chain of aliases, addresses at its end, strangers, other sections; shuffled.
 */
static ldns_pkt *make_reply(struct dice *d, const char *name, struct dns_reply *expected)
{
    bool is_v4 = expected->question.type == DNS_A;
    ldns_pkt *pkt =
        ldns_pkt_query_new(ldns_dname_new_frm_str(name), is_v4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA,
                           LDNS_RR_CLASS_IN, LDNS_QR | LDNS_RD | LDNS_RA);
    unsigned links = roll(d, LINKS_MAX);
    unsigned count = roll(d, 5);
    uint32_t ttl_min = UINT32_MAX;
    char owner[DNS_NAME_MAX + 2];

    ldns_pkt_set_id(pkt, expected->question.id);
    ldns_pkt_set_rd(pkt, expected->question.recursion_desired);
    (void)snprintf(owner, sizeof(owner), "%s", name);
    for (unsigned i = 0; i < links; i++) {
        char target[DNS_NAME_MAX + 2];
        unsigned ttl = roll(d, 1000);

        (void)snprintf(target, sizeof(target), "l%u.%.200s", i, name);
        push(pkt, LDNS_SECTION_ANSWER, "%s %u IN CNAME %s", owner, ttl, target);
        ttl_min = ttl < ttl_min ? ttl : ttl_min;
        memcpy(owner, target, sizeof(owner));
    }
    for (unsigned i = 0; i < count; i++) {
        struct dns_address *a = &expected->addresses[expected->address_count++];
        unsigned ttl = roll(d, 1000);
        char text[IP_TEXT_CAP];

        a->ip = is_v4 ? ip_v4(192, 0, 2, (uint8_t)i)
                      : ip_from_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = (uint8_t)i});
        a->ttl_s = ttl < ttl_min ? ttl : ttl_min;
        push(pkt, LDNS_SECTION_ANSWER, is_v4 ? "%s %u IN A %s" : "%s %u IN AAAA %s", owner, ttl,
             ip_print(&a->ip, text));
        if (roll(d, 3) == 0)
            push(pkt, LDNS_SECTION_ANSWER, "%s %u IN A %s", "stranger.example.", ttl,
                 "203.0.113.1");
    }
    push(pkt, LDNS_SECTION_AUTHORITY, "%s %u IN NS %s", name, 1, "ns.example.");
    push(pkt, LDNS_SECTION_ADDITIONAL, "%s %u IN A %s", "ns.example.", 1, "203.0.113.2");
    return pkt;
}

START_TEST(we_read_what_ldns_writes)
{
    for (uint64_t seed = first_seed(), i = 0; i < runs(); i++, seed++) {
        struct dice d = {.state = seed};
        char name[DNS_NAME_MAX + 2];
        static struct dns_reply expected;
        static struct dns_reply got;
        uint8_t *wire = NULL;
        size_t len = 0;
        ldns_pkt *pkt;

        expected = (struct dns_reply){.question = make_question(&d, name, sizeof(name))};
        pkt = make_reply(&d, name, &expected);
        ck_assert_int_eq(ldns_pkt2wire(&wire, pkt, &len), LDNS_STATUS_OK);
        ck_assert_msg(dns_parse_reply(bytes_of(wire, len), &expected.question, &got) == 0,
                      "PROP_SEED=%llu", (unsigned long long)seed);
        ck_assert_msg(got.address_count == expected.address_count, "PROP_SEED=%llu: %u of %u",
                      (unsigned long long)seed, got.address_count, expected.address_count);
        for (unsigned k = 0; k < got.address_count; k++)
            ck_assert(ip_equal(&got.addresses[k].ip, &expected.addresses[k].ip) &&
                      got.addresses[k].ttl_s == expected.addresses[k].ttl_s);
        free(wire);
        ldns_pkt_free(pkt);
    }
}
END_TEST

/** True when @pkt has an answer with this address. */
static bool has_address(const ldns_pkt *pkt, const struct ip *ip)
{
    const ldns_rr_list *answers = ldns_pkt_answer(pkt);

    for (size_t i = 0; i < ldns_rr_list_rr_count(answers); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, i);
        const ldns_rdf *rdf = ldns_rr_rd_count(rr) > 0 ? ldns_rr_rdf(rr, 0) : NULL;
        ldns_rr_type type = ip->family == IP_V4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA;

        if (ldns_rr_get_type(rr) == type && rdf != NULL && ldns_rdf_size(rdf) == ip_len(ip) &&
            memcmp(ldns_rdf_data(rdf), ip->bytes, ip_len(ip)) == 0)
            return true;
    }
    return false;
}

START_TEST(flipped_bytes_mean_the_same_to_both)
{
    unsigned both = 0;
    unsigned refused = 0;

    for (uint64_t seed = first_seed(), i = 0; i < runs() * 20; i++, seed++) {
        struct dice d = {.state = seed / 20};
        char name[DNS_NAME_MAX + 2];
        static struct dns_reply r;
        uint8_t *wire = NULL;
        size_t len = 0;
        ldns_pkt *pkt;
        ldns_pkt *theirs;

        r = (struct dns_reply){.question = make_question(&d, name, sizeof(name))};
        pkt = make_reply(&d, name, &r);
        ck_assert_int_eq(ldns_pkt2wire(&wire, pkt, &len), LDNS_STATUS_OK);
        ldns_pkt_free(pkt);
        d.state = seed;
        wire[roll(&d, (unsigned)len)] ^= (uint8_t)(1u << roll(&d, 8));
        theirs = read_by_ldns(wire, (int)len);
        if (dns_parse_reply(bytes_of(wire, len), &r.question, &r) < 0) {
            refused++;
        } else if (theirs != NULL) {
            both++;
            for (unsigned k = 0; k < r.address_count; k++)
                ck_assert_msg(has_address(theirs, &r.addresses[k].ip), "PROP_SEED=%llu",
                              (unsigned long long)seed);
        }
        free(wire);
        ldns_pkt_free(theirs);
    }
    if (runs() > 1)
        ck_assert_msg(both > runs() && refused > runs(), "both %u, refused %u", both, refused);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(ldns_reads_what_we_write, 60),
    SUITE_SLOW(we_read_what_ldns_writes, 60),
    SUITE_SLOW(flipped_bytes_mean_the_same_to_both, 60),
};

SUITE_MAIN("prop/dns_ldns", tests)

#else

int main(void)
{
    suite_skip("ldns is not installed (Debian: libldns-dev)");
}

#endif
