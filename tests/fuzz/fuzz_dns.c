/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a DNS query and as a reply to the question that they themselves hold. What is read
 * is written and read again, and must come back the same.
 */
#include <stdint.h>
#include <string.h>

#include "netstack/netstack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_query(struct bytes message)
{
    struct dns_question q;
    struct dns_question again;
    uint8_t out[DNS_MESSAGE_MAX];
    int written;

    if (dns_parse_query(message, &q) < 0)
        return;
    written = dns_write_query(&q, out, sizeof(out));
    must(written > 0);
    must(dns_parse_query(bytes_of(out, (size_t)written), &again) == 0);
    must(again.id == q.id && again.type == q.type && strcmp(again.name, q.name) == 0);
    must(again.recursion_desired == q.recursion_desired);
}

/** The question that the bytes hold, read as if they were a query without records. */
static int own_question(struct bytes message, struct dns_question *ret)
{
    uint8_t copy[DNS_MESSAGE_MAX];

    if (message.len < 12 || message.len > sizeof(copy))
        return -1;
    memcpy(copy, message.data, message.len);
    memset(copy + 6, 0, 6);
    copy[2] = 1;
    for (size_t end = 17; end <= message.len; end++)
        if (dns_parse_query(bytes_of(copy, end), ret) == 0)
            return 0;
    return -1;
}

static void check_reply(struct bytes message)
{
    struct dns_question asked;
    struct dns_reply r;
    struct dns_reply again;
    static uint8_t out[DNS_MESSAGE_MAX]; /* scratch; one input at a time */
    int written;

    if (own_question(message, &asked) < 0 || dns_parse_reply(message, &asked, &r) < 0)
        return;
    must(r.address_count <= DNS_ANSWERS_MAX);
    must(r.address_count == 0 || (r.rcode == DNS_OK && !r.is_truncated));
    written = dns_write_reply(&r, out, sizeof(out));
    must(written > 0);
    must(dns_parse_reply(bytes_of(out, (size_t)written), &asked, &again) == 0);
    must(again.rcode == r.rcode && again.address_count == r.address_count);
    for (unsigned i = 0; i < r.address_count; i++)
        must(ip_equal(&again.addresses[i].ip, &r.addresses[i].ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check_query(bytes_of(data, len));
    check_reply(bytes_of(data, len));
    return 0;
}
