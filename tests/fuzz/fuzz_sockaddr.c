/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses as the agent may give them. Input: one byte for the socket's family, then the
 * address. What is accepted must survive being written and read again.
 */
#include <stdint.h>
#include <string.h>

#include "sandbox/inet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct sockaddr_storage raw = {0}, again;
    struct endpoint e, back;
    bool is_v6, is_mapped, is_mapped_again;
    unsigned written;

    if (len < 1 || len - 1 > sizeof(raw))
        return 0;
    is_v6 = (data[0] & 1) != 0;
    memcpy(&raw, data + 1, len - 1);
    if (inet_read(&raw, (unsigned)len - 1, is_v6, &e, &is_mapped) < 0)
        return 0;
    must(e.ip.family == IP_V4 || e.ip.family == IP_V6);
    must(!is_mapped || (is_v6 && e.ip.family == IP_V4));
    written = inet_write(&e, is_v6, &again);
    must(inet_read(&again, written, is_v6, &back, &is_mapped_again) == 0);
    must(endpoint_equal(&e, &back) && is_mapped == is_mapped_again);
    return 0;
}
