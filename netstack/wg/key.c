/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as people see them: base64 (RFC 4648) of 32 bytes. No table is indexed and no branch taken
 * by a digit of a key, so that neither cache nor time tells about it; text that is no canonical
 * base64 is refused, so a key has one spelling.
 */
#include <errno.h>

#include "base/wipe.h"
#include "netstack/wg/crypto.h"

#define KEY_TEXT_LEN (WG_KEY_TEXT_CAP - 1)

/** 0..63, or -1: each line adds its share if @c is in its range, found by the sign of a product. */
static int digit_parse(char c)
{
    int v = -1;

    v += (((('A' - 1) - c) & (c - ('Z' + 1))) >> 8) & (c - 64);
    v += (((('a' - 1) - c) & (c - ('z' + 1))) >> 8) & (c - 70);
    v += (((('0' - 1) - c) & (c - ('9' + 1))) >> 8) & (c + 5);
    v += (((('+' - 1) - c) & (c - ('+' + 1))) >> 8) & 63;
    v += (((('/' - 1) - c) & (c - ('/' + 1))) >> 8) & 64;
    return v;
}

/** The digit of @v, 0..63: start at 'A', and jump ahead at each gap of the alphabet that is passed.
 */
static char digit_print(unsigned v)
{
    int n = (int)v;

    return (char)(n + 'A' + (((25 - n) >> 8) & 6) - (((51 - n) >> 8) & 75) -
                  (((61 - n) >> 8) & 15) + (((62 - n) >> 8) & 3));
}

int wg_key_parse(struct bytes text, uint8_t ret[static WG_KEY_LEN])
{
    uint8_t key[WG_KEY_LEN + 1]; /* 11 groups of 3 bytes */
    int bad = 0;                 /* negative as soon as one digit was */

    if (text.len != KEY_TEXT_LEN || text.data[KEY_TEXT_LEN - 1] != '=')
        return -EINVAL;
    for (unsigned i = 0; i < KEY_TEXT_LEN; i += 4) {
        uint32_t group = 0;

        for (unsigned j = 0; j < 4; j++) {
            int v = i + j == KEY_TEXT_LEN - 1 ? 0 : digit_parse((char)text.data[i + j]);

            bad |= v;
            group = group << 6 | ((uint32_t)v & 63u);
        }
        key[i / 4 * 3] = (uint8_t)(group >> 16);
        key[i / 4 * 3 + 1] = (uint8_t)(group >> 8);
        key[i / 4 * 3 + 2] = (uint8_t)group;
    }
    bad |= -(int)key[WG_KEY_LEN]; /* the two bits behind the key are zero in canonical text */
    if (bad >= 0)
        memcpy(ret, key, WG_KEY_LEN);
    wipe(key, sizeof(key));
    return bad < 0 ? -EINVAL : 0;
}

void wg_key_print(const uint8_t key[static WG_KEY_LEN], char ret[static WG_KEY_TEXT_CAP])
{
    uint8_t padded[WG_KEY_LEN + 1] = {0};

    memcpy(padded, key, WG_KEY_LEN);
    for (unsigned i = 0; i < KEY_TEXT_LEN; i += 4) {
        const uint8_t *in = padded + i / 4 * 3;
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

        for (unsigned j = 0; j < 4; j++)
            ret[i + j] = digit_print(group >> (18 - 6 * j) & 63u);
    }
    ret[KEY_TEXT_LEN - 1] = '=';
    ret[KEY_TEXT_LEN] = '\0';
    wipe(padded, sizeof(padded));
}

void wg_key_generate(struct rng rng, uint8_t ret_private[static WG_KEY_LEN])
{
    rng.fill(rng.self, ret_private, WG_KEY_LEN);
    ret_private[0] &= 248; /* RFC 7748, section 5 */
    ret_private[31] = (uint8_t)((ret_private[31] & 127) | 64);
}

int wg_key_public(const uint8_t private_key[static WG_KEY_LEN],
                  uint8_t ret_public[static WG_KEY_LEN])
{
    return wg_dh_public(private_key, ret_public) < 0 ? -EINVAL : 0;
}
