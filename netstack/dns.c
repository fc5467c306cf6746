/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages, read and written for the sandbox's own resolver: one question of class IN, and from
 * an answer only the addresses at the end of the question's own chain of aliases. What is malformed
 * is refused as a whole; nothing of an upstream's bytes is ever passed on, replies are written
 * afresh.
 *
 * Reading is bounded three ways: a name has at most 255 bytes on the wire (RFC 1035 2.3.4),
 * compression pointers only go backwards and at most POINTERS_MAX times (4.1.4), and a chain of
 * aliases has at most CHAIN_MAX links.
 */
#include <assert.h>
#include <errno.h>

#include "netstack/netstack.h"

#define HEADER_LEN       12u  /* RFC 1035 4.1.1 */
#define NAME_WIRE_MAX    255u /* RFC 1035 2.3.4 */
#define LABEL_MAX        63u
#define POINTERS_MAX     127u /* each leads to at least one label */
#define CHAIN_MAX        16u
#define CLASS_IN         1u
#define TYPE_OPT         41u   /* RFC 6891 */
#define EDNS_PAYLOAD_MAX 1232u /* DNS flag day 2020: no fragments on common paths */
#define OPT_LEN          11u   /* a root name, fixed fields, no options */

#define FLAG_QR       0x8000u
#define FLAG_TC       0x0200u
#define FLAG_RD       0x0100u
#define FLAG_RA       0x0080u
#define OPCODE(flags) ((flags) >> 11 & 0xfu)

struct dns_reader {
    struct bytes message;
    size_t pos;
};

/** A name as text; is_text is false when some label has bytes that text cannot hold (the name is
 * then well-formed, but equal to nothing). */
struct dns_name {
    char text[DNS_NAME_MAX + 1];
    bool is_text;
};

struct dns_record {
    struct dns_name owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl_s;
    size_t data; /* offset of RDATA */
    uint16_t data_len;
};

struct dns_header {
    uint16_t id;
    uint16_t flags;
    uint16_t questions;
    uint16_t answers;
    uint16_t authorities;
    uint16_t additionals;
};

static bool has(const struct dns_reader *r, size_t len)
{
    return len <= r->message.len - r->pos;
}

static int read_header(struct dns_reader *r, struct dns_header *ret)
{
    const uint8_t *p = r->message.data;

    if (r->message.len > DNS_MESSAGE_MAX || !has(r, HEADER_LEN))
        return -EBADMSG;
    *ret = (struct dns_header){.id = load_be16(p),
                               .flags = load_be16(p + 2),
                               .questions = load_be16(p + 4),
                               .answers = load_be16(p + 6),
                               .authorities = load_be16(p + 8),
                               .additionals = load_be16(p + 10)};
    r->pos = HEADER_LEN;
    return 0;
}

/** Append one label to @name in lower case. */
static void add_label(struct dns_name *name, size_t *len, const uint8_t *label, size_t label_len)
{
    if (*len > 0)
        name->text[(*len)++] = '.';
    for (size_t i = 0; i < label_len; i++) {
        uint8_t c = label[i];

        if (c <= 0x20 || c >= 0x7f || c == '.')
            name->is_text = false;
        name->text[(*len)++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
}

/** Follow a pointer at @at: it must lead to before @limit, where the name's current run began. */
static int read_pointer(const struct dns_reader *r, size_t at, size_t limit, size_t *ret)
{
    size_t target;

    if (r->message.len - at < 2)
        return -EBADMSG;
    target = load_be16(r->message.data + at) & 0x3fffu;
    if (target >= limit || target < HEADER_LEN)
        return -EBADMSG;
    *ret = target;
    return 0;
}

/** A name at the reader's position, which moves behind it. RFC 1035 3.1, 4.1.4. */
static int read_name(struct dns_reader *r, struct dns_name *ret)
{
    const struct bytes m = r->message;
    size_t at = r->pos;
    size_t run = r->pos; /* where the current run of labels began; pointers lead before it */
    size_t end = 0;      /* behind the name; known at the first pointer or at the root */
    size_t wire = 1;
    size_t len = 0;
    unsigned pointers = 0;

    ret->is_text = true;
    for (;;) {
        uint8_t c;

        if (at >= m.len)
            return -EBADMSG;
        c = m.data[at];
        if (c == 0)
            break;
        if (c >= 0xc0) {
            if (end == 0)
                end = at + 2;
            if (++pointers > POINTERS_MAX || read_pointer(r, at, run, &at) < 0)
                return -EBADMSG;
            run = at;
            continue;
        }
        if (c > LABEL_MAX || c >= m.len - at || wire + c + 1u > NAME_WIRE_MAX)
            return -EBADMSG;
        wire += c + 1u;
        add_label(ret, &len, m.data + at + 1, c);
        at += c + 1u;
    }
    ret->text[len] = '\0';
    r->pos = end > 0 ? end : at + 1;
    return 0;
}

static_assert(NAME_WIRE_MAX - 2 == DNS_NAME_MAX, "first length byte and root are not in the text");

static int read_question(struct dns_reader *r, struct dns_question *ret)
{
    struct dns_name name;

    if (read_name(r, &name) < 0 || !name.is_text || !has(r, 4) ||
        load_be16(r->message.data + r->pos + 2) != CLASS_IN)
        return -EBADMSG;
    ret->type = load_be16(r->message.data + r->pos);
    memcpy(ret->name, name.text, sizeof(ret->name));
    r->pos += 4;
    return 0;
}

static int read_record(struct dns_reader *r, struct dns_record *ret)
{
    const uint8_t *p;

    if (read_name(r, &ret->owner) < 0 || !has(r, 10))
        return -EBADMSG;
    p = r->message.data + r->pos;
    ret->type = load_be16(p);
    ret->class = load_be16(p + 2);
    ret->ttl_s = load_be32(p + 4);
    if (ret->ttl_s > INT32_MAX)
        ret->ttl_s = 0; /* RFC 2181 8 */
    ret->data_len = load_be16(p + 8);
    r->pos += 10;
    if (!has(r, ret->data_len))
        return -EBADMSG;
    ret->data = r->pos;
    r->pos += ret->data_len;
    return 0;
}

/** Records that are of no interest must be well-formed all the same. @ret_rcode gets the upper bits
 * of an OPT record (RFC 6891 6.1.3); two of those are malformed. */
static int skip_records(struct dns_reader *r, unsigned count, unsigned *ret_rcode)
{
    bool has_opt = false;

    while (count-- > 0) {
        struct dns_record record;

        if (read_record(r, &record) < 0)
            return -EBADMSG;
        if (record.type != TYPE_OPT)
            continue;
        if (has_opt || record.owner.text[0] != '\0')
            return -EBADMSG;
        has_opt = true;
        *ret_rcode |= r->message.data[record.data - 6] * 16u; /* first byte of the TTL */
    }
    return 0;
}

int dns_parse_query(struct bytes message, struct dns_question *ret)
{
    struct dns_reader r = {.message = message};
    struct dns_question q = {0};
    struct dns_header h;
    unsigned ignored = 0;

    *ret = q;
    if (read_header(&r, &h) < 0 || (h.flags & FLAG_QR) != 0)
        return -EBADMSG;
    q.id = h.id;
    q.recursion_desired = (h.flags & FLAG_RD) != 0;
    *ret = q;
    if (OPCODE(h.flags) != 0 || h.questions != 1 || h.answers != 0 || h.authorities != 0 ||
        h.additionals > 1)
        return -EBADMSG;
    if (read_question(&r, &q) < 0 || skip_records(&r, h.additionals, &ignored) < 0 ||
        r.pos != message.len)
        return -EBADMSG;
    *ret = q;
    return 0;
}

/** The alias of @name among @count answers at @r; 1 found, 0 none. Two different ones are
 * malformed. */
static int find_alias(struct dns_reader r, unsigned count, const char *name, struct dns_name *ret,
                      uint32_t *ret_ttl_s)
{
    struct dns_record record;
    struct dns_name target;
    int found = 0;

    while (count-- > 0) {
        struct dns_reader data;

        if (read_record(&r, &record) < 0)
            return -EBADMSG;
        if (record.type != DNS_CNAME || !record.owner.is_text ||
            strcmp(record.owner.text, name) != 0)
            continue;
        data = (struct dns_reader){.message = r.message, .pos = record.data};
        if (read_name(&data, &target) < 0 || data.pos != record.data + record.data_len)
            return -EBADMSG;
        if (found > 0 && strcmp(target.text, ret->text) != 0)
            return -EBADMSG;
        found = 1;
        *ret = target;
        *ret_ttl_s = record.ttl_s < *ret_ttl_s ? record.ttl_s : *ret_ttl_s;
    }
    return found;
}

/** Walk from the question's name to the name that owns the addresses. */
static int follow_aliases(const struct dns_reader *answers, unsigned count, struct dns_name *name,
                          uint32_t *ttl_s)
{
    for (unsigned link = 0; link < CHAIN_MAX; link++) {
        struct dns_name next;
        int found = find_alias(*answers, count, name->text, &next, ttl_s);

        if (found <= 0)
            return found;
        if (!next.is_text)
            return -EBADMSG;
        *name = next;
    }
    return -EBADMSG; /* longer than any sane chain, or a loop */
}

static int read_address(const struct dns_reader *r, const struct dns_record *record, struct ip *ret)
{
    unsigned len = record->type == DNS_A ? 4 : 16;

    if (record->data_len != len)
        return -EBADMSG;
    *ret = ip_any(record->type == DNS_A ? IP_V4 : IP_V6);
    memcpy(ret->bytes, r->message.data + record->data, len);
    return 0;
}

/** Take the addresses of @name and move the reader behind the answers. */
static int take_addresses(struct dns_reader *r, unsigned count, const struct dns_name *name,
                          uint32_t ttl_s, struct dns_reply *ret)
{
    while (count-- > 0) {
        struct dns_record record;
        struct dns_address address;

        if (read_record(r, &record) < 0 || record.class != CLASS_IN)
            return -EBADMSG;
        if (record.type != ret->question.type || (record.type != DNS_A && record.type != DNS_AAAA))
            continue;
        if (read_address(r, &record, &address.ip) < 0)
            return -EBADMSG;
        if (!record.owner.is_text || strcmp(record.owner.text, name->text) != 0 ||
            ret->address_count == DNS_ANSWERS_MAX)
            continue;
        address.ttl_s = record.ttl_s < ttl_s ? record.ttl_s : ttl_s;
        ret->addresses[ret->address_count++] = address;
    }
    return 0;
}

/** Header and question must be those of an answer to @asked. */
static int match_reply(struct dns_reader *r, const struct dns_header *h,
                       const struct dns_question *asked, struct dns_question *ret)
{
    if ((h->flags & FLAG_QR) == 0 || OPCODE(h->flags) != 0 || h->questions != 1 ||
        h->id != asked->id || read_question(r, ret) < 0)
        return -EBADMSG;
    ret->id = h->id;
    ret->recursion_desired = (h->flags & FLAG_RD) != 0;
    return ret->type == asked->type && strcmp(ret->name, asked->name) == 0 ? 0 : -EBADMSG;
}

static int parse_answers(struct dns_reader *r, const struct dns_header *h, struct dns_reply *ret)
{
    unsigned rcode = h->flags & 0xfu;
    uint32_t ttl_s = UINT32_MAX;
    struct dns_name name = {.is_text = true};

    memcpy(name.text, ret->question.name, sizeof(name.text));
    if (follow_aliases(r, h->answers, &name, &ttl_s) < 0 ||
        take_addresses(r, h->answers, &name, ttl_s, ret) < 0 ||
        skip_records(r, h->authorities, &rcode) < 0 ||
        skip_records(r, h->additionals, &rcode) < 0 || r->pos != r->message.len)
        return -EBADMSG;
    ret->rcode = rcode <= DNS_REFUSED ? (enum dns_rcode)rcode : DNS_SERVFAIL;
    if (ret->rcode != DNS_OK)
        ret->address_count = 0;
    return 0;
}

int dns_parse_reply(struct bytes message, const struct dns_question *asked, struct dns_reply *ret)
{
    struct dns_reader r = {.message = message};
    struct dns_reply reply = {0};
    struct dns_header h;

    if (read_header(&r, &h) < 0 || match_reply(&r, &h, asked, &reply.question) < 0)
        return -EBADMSG;
    reply.is_truncated = (h.flags & FLAG_TC) != 0;
    /* A truncated message may end anywhere (RFC 2181 9): nothing in it is used. */
    if (!reply.is_truncated && parse_answers(&r, &h, &reply) < 0)
        return -EBADMSG;
    *ret = reply;
    return 0;
}

/* Writing */

struct dns_writer {
    uint8_t *data;
    size_t len;
    size_t cap;
    int err; /* the first failure; nothing is written after it */
};

static uint8_t *claim(struct dns_writer *w, size_t len)
{
    uint8_t *at;

    if (w->err < 0 || len > w->cap - w->len) {
        w->err = w->err < 0 ? w->err : -ENOBUFS;
        return NULL;
    }
    at = w->data + w->len;
    w->len += len;
    return at;
}

static void write_u16(struct dns_writer *w, unsigned v)
{
    uint8_t *at = claim(w, 2);

    if (at != NULL)
        store_be16(at, (uint16_t)v);
}

static void write_u32(struct dns_writer *w, uint32_t v)
{
    uint8_t *at = claim(w, 4);

    if (at != NULL)
        store_be32(at, v);
}

static void write_bytes(struct dns_writer *w, const void *data, size_t len)
{
    uint8_t *at = claim(w, len);

    if (at != NULL)
        memcpy(at, data, len);
}

static void write_name(struct dns_writer *w, const char *name)
{
    static const uint8_t root = 0;

    if (strlen(name) > DNS_NAME_MAX)
        w->err = -EINVAL;
    while (*name != '\0' && w->err == 0) {
        size_t len = strcspn(name, ".");
        uint8_t count = (uint8_t)len;

        if (len == 0 || len > LABEL_MAX || (name[len] == '.' && name[len + 1] == '\0')) {
            w->err = -EINVAL;
            return;
        }
        write_bytes(w, &count, 1);
        write_bytes(w, name, len);
        name += len + (name[len] == '.');
    }
    write_bytes(w, &root, 1);
}

static void write_header(struct dns_writer *w, const struct dns_header *h)
{
    write_u16(w, h->id);
    write_u16(w, h->flags);
    write_u16(w, h->questions);
    write_u16(w, h->answers);
    write_u16(w, h->authorities);
    write_u16(w, h->additionals);
}

static void write_question(struct dns_writer *w, const struct dns_question *q)
{
    write_name(w, q->name);
    write_u16(w, q->type);
    write_u16(w, CLASS_IN);
}

static int written(const struct dns_writer *w)
{
    return w->err < 0 ? w->err : (int)w->len;
}

int dns_write_query(const struct dns_question *q, uint8_t *ret, size_t cap)
{
    static const uint8_t opt[OPT_LEN] = {0, 0, TYPE_OPT, EDNS_PAYLOAD_MAX >> 8,
                                         EDNS_PAYLOAD_MAX & 0xff}; /* RFC 6891 6.1.2 */
    struct dns_writer w = {.data = ret, .cap = cap};
    struct dns_header h = {
        .id = q->id, .flags = q->recursion_desired ? FLAG_RD : 0, .questions = 1, .additionals = 1};

    write_header(&w, &h);
    write_question(&w, q);
    write_bytes(&w, opt, sizeof(opt));
    return written(&w);
}

static uint16_t reply_flags(const struct dns_question *q, enum dns_rcode rcode)
{
    return (uint16_t)(FLAG_QR | FLAG_RA | (q->recursion_desired ? FLAG_RD : 0) | rcode);
}

int dns_write_reply(const struct dns_reply *r, uint8_t *ret, size_t cap)
{
    struct dns_writer w = {.data = ret, .cap = cap};
    struct dns_header h = {.id = r->question.id,
                           .flags = reply_flags(&r->question, r->rcode),
                           .questions = 1,
                           .answers = (uint16_t)r->address_count};

    must(r->address_count <= DNS_ANSWERS_MAX);
    if (r->is_truncated)
        h.flags |= FLAG_TC;
    write_header(&w, &h);
    write_question(&w, &r->question);
    for (unsigned i = 0; i < r->address_count; i++) {
        const struct dns_address *a = &r->addresses[i];
        unsigned len = ip_len(&a->ip);

        write_u16(&w, 0xc000u | HEADER_LEN); /* the question's name */
        write_u16(&w, a->ip.family == IP_V4 ? DNS_A : DNS_AAAA);
        write_u16(&w, CLASS_IN);
        write_u32(&w, a->ttl_s);
        write_u16(&w, len);
        write_bytes(&w, a->ip.bytes, len);
    }
    return written(&w);
}

int dns_write_error(const struct dns_question *q, enum dns_rcode rcode, uint8_t *ret, size_t cap)
{
    struct dns_writer w = {.data = ret, .cap = cap};
    bool has_question = q->type != 0; /* it could be read */
    struct dns_header h = {
        .id = q->id, .flags = reply_flags(q, rcode), .questions = has_question ? 1 : 0};

    write_header(&w, &h);
    if (has_question)
        write_question(&w, q);
    return written(&w);
}
