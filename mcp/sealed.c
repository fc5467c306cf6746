/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ID.END.MAC in text. The MAC covers id, end, tool and arguments, each with its length, so that no
 * two calls have the same input. Nothing of the text is believed before the MAC was compared.
 */
#include "mcp/sealed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wipe.h"

#define BLOCK_LEN 64u /* of SHA-256 */

static int hmac(const uint8_t *key, const struct bytes *parts, unsigned count, uint8_t *ret)
{
    uint8_t inner_pad[BLOCK_LEN], outer_pad[BLOCK_LEN], inner[HASH_LEN];
    struct bytes all[8] = {bytes_of(inner_pad, BLOCK_LEN)};
    struct bytes outer[] = {bytes_of(outer_pad, BLOCK_LEN), bytes_of(inner, HASH_LEN)};
    int err;

    for (unsigned i = 0; i < BLOCK_LEN; i++) {
        uint8_t k = i < SEALED_KEY_LEN ? key[i] : 0;

        inner_pad[i] = k ^ 0x36;
        outer_pad[i] = k ^ 0x5c;
    }
    for (unsigned i = 0; i < count; i++)
        all[i + 1] = parts[i];
    err = hash_sha256(all, count + 1, inner);
    if (err == 0)
        err = hash_sha256(outer, ARRAY_COUNT(outer), ret);
    wipe(inner_pad, sizeof(inner_pad));
    wipe(outer_pad, sizeof(outer_pad));
    return err;
}

static int mac_of(const uint8_t *key, const char *id, long long end_s, const char *tool,
                  struct bytes arguments, uint8_t ret[static HASH_LEN])
{
    char head[SEALED_ID_MAX + 256];
    int len = snprintf(head, sizeof(head), "%s.%lld.%zu.%s.%zu.", id, end_s, strlen(tool), tool,
                       arguments.len);
    struct bytes parts[] = {bytes_of(head, (size_t)(len > 0 ? len : 0)), arguments};

    if (len < 0 || (size_t)len >= sizeof(head))
        return -EINVAL;
    return hmac(key, parts, ARRAY_COUNT(parts), ret);
}

int sealed_write(const uint8_t key[static SEALED_KEY_LEN], const char *id, const char *tool,
                 struct bytes arguments, int64_t now_s, char ret[static SEALED_TEXT_CAP])
{
    long long end_s = (long long)now_s + SEALED_LIFE_S;
    uint8_t mac[HASH_LEN];
    char hex[HASH_HEX_LEN + 1];
    int err;

    if (strlen(id) > SEALED_ID_MAX || strchr(id, '.') != NULL)
        return -EINVAL;
    err = mac_of(key, id, end_s, tool, arguments, mac);
    if (err < 0)
        return err;
    hash_hex(mac, hex);
    (void)snprintf(ret, SEALED_TEXT_CAP, "%s.%lld.%s", id, end_s, hex);
    return 0;
}

int sealed_read(const uint8_t key[static SEALED_KEY_LEN], const char *text, const char *tool,
                struct bytes arguments, int64_t now_s, char ret_id[static SEALED_ID_MAX + 1])
{
    char id[SEALED_ID_MAX + 1];
    uint8_t claimed[HASH_LEN], mac[HASH_LEN];
    size_t id_len = strcspn(text, ".");
    const char *dot = strrchr(text, '.');
    long long end_s;
    char *rest;

    if (id_len == 0 || id_len > SEALED_ID_MAX || dot == NULL || dot == text + id_len ||
        hash_parse(bytes_of_str(dot + 1), claimed) < 0)
        return -EACCES;
    memcpy(id, text, id_len);
    id[id_len] = '\0';
    errno = 0;
    end_s = strtoll(text + id_len + 1, &rest, 10);
    if (errno != 0 || rest != dot || mac_of(key, id, end_s, tool, arguments, mac) < 0 ||
        !secret_equal(mac, claimed, HASH_LEN))
        return -EACCES;
    if (end_s <= now_s)
        return -ETIME;
    memcpy(ret_id, id, sizeof(id));
    return 0;
}
