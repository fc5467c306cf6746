/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seals lines and takes sealed lines apart. It looks only at the fixed end of a line, never at the
 * record before it: strings in JSON hold no bare quote, so that end cannot be forged from inside.
 */
#include "audit/chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_KEY   ",\"hash\":\""
#define SEQ_KEY    "\",\"seq\":"
#define CHAIN_KEY  ",\"chain\":\""
#define AFTER_KEY  ",\"after\":\""
#define KEY_LEN(k) (sizeof(k) - 1)

void chain_init(struct chain *c, uint64_t number)
{
    *c = (struct chain){0};
    (void)snprintf(c->id, sizeof(c->id), "%016" PRIx64, number);
}

int chain_hash(const uint8_t prev[static HASH_LEN], struct bytes covered,
               uint8_t ret[static HASH_LEN])
{
    const struct bytes parts[] = {bytes_of(prev, HASH_LEN), covered};

    return hash_sha256(parts, ARRAY_COUNT(parts), ret);
}

int chain_seal(struct chain *c, const uint8_t after[static HASH_LEN], size_t from, struct buf *line)
{
    char hex[HASH_HEX_LEN + 1];
    uint8_t hash[HASH_LEN];
    int err;

    if (c->seq == 0) {
        hash_hex(after, hex);
        buf_printf(line, AFTER_KEY "%s\"", hex);
    }
    buf_printf(line, CHAIN_KEY "%s" SEQ_KEY "%" PRIu64, c->id, c->seq + 1);
    if (buf_error(line) < 0)
        return buf_error(line);
    err = chain_hash(c->head, bytes_of(line->data + from, line->len - from), hash);
    if (err < 0)
        return err;
    hash_hex(hash, hex);
    buf_printf(line, HASH_KEY "%s\"}\n", hex);
    if (buf_error(line) < 0)
        return buf_error(line);
    c->seq++;
    memcpy(c->head, hash, HASH_LEN);
    return 0;
}

/** If @text ends with @key followed by @len more bytes, cut both off and hand out the latter. */
static bool take_end(struct bytes *text, const char *key, size_t key_len, size_t len,
                     struct bytes *ret)
{
    if (text->len < key_len + len ||
        memcmp(text->data + text->len - len - key_len, key, key_len) != 0)
        return false;
    *ret = bytes_of(text->data + text->len - len, len);
    text->len -= key_len + len;
    return true;
}

static bool take_seq(struct bytes *text, uint64_t *ret)
{
    uint64_t seq = 0;
    size_t len = 0;

    while (len < text->len && len < 20 && text->data[text->len - 1 - len] >= '0' &&
           text->data[text->len - 1 - len] <= '9')
        len++;
    if (len == 0 || text->data[text->len - len] == '0')
        return false;
    for (size_t i = text->len - len; i < text->len; i++)
        if (__builtin_mul_overflow(seq, 10u, &seq) ||
            __builtin_add_overflow(seq, (uint64_t)(text->data[i] - '0'), &seq))
            return false;
    text->len -= len;
    *ret = seq;
    return true;
}

int chain_read(struct bytes line, struct chain_seal *ret)
{
    struct chain_seal s = {0};
    struct bytes text = line;
    struct bytes part;

    if (text.len < 2 || text.data[0] != '{' || memcmp(text.data + text.len - 2, "\"}", 2) != 0)
        return -EINVAL;
    text.len -= 2;
    if (!take_end(&text, HASH_KEY, KEY_LEN(HASH_KEY), HASH_HEX_LEN, &part) ||
        hash_parse(part, s.hash) < 0)
        return -EINVAL;
    s.covered = text;
    if (!take_seq(&text, &s.seq) || !take_end(&text, SEQ_KEY, KEY_LEN(SEQ_KEY), 0, &part) ||
        !take_end(&text, CHAIN_KEY, KEY_LEN(CHAIN_KEY), CHAIN_ID_LEN, &part))
        return -EINVAL;
    for (size_t i = 0; i < part.len; i++)
        if (!((part.data[i] >= '0' && part.data[i] <= '9') ||
              (part.data[i] >= 'a' && part.data[i] <= 'f')))
            return -EINVAL;
    memcpy(s.id, part.data, CHAIN_ID_LEN);
    if (s.seq == 1) {
        if (text.len < 1 || text.data[text.len - 1] != '"')
            return -EINVAL;
        text.len--;
        if (!take_end(&text, AFTER_KEY, KEY_LEN(AFTER_KEY), HASH_HEX_LEN, &part) ||
            hash_parse(part, s.after) < 0)
            return -EINVAL;
        s.has_after = true;
    }
    *ret = s;
    return 0;
}
