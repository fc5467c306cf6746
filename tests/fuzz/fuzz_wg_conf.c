/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a wg-quick file. What is read keeps its bounds; what is refused says where, and
 * leaves nothing behind.
 */
#include <errno.h>

#include "netstack/wg/wg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_good(const struct wg_conf *c)
{
    must(c->address_count <= WG_ADDRESSES_MAX);
    must(c->dns_count <= WG_DNS_MAX);
    must(c->warning_count <= ARRAY_COUNT(c->warnings));
    must(c->peer_count <= WG_PEERS_MAX);
    for (unsigned i = 0; i < c->peer_count; i++) {
        const struct wg_peer_conf *p = &c->peers[i];

        must(p->allowed_ip_count <= WG_ALLOWED_IPS_MAX);
        must(!p->has_endpoint || p->endpoint_host[0] == '\0');
        must(p->endpoint_host[0] == '\0' || p->endpoint_port > 0);
        for (unsigned j = 0; j < p->allowed_ip_count; j++) { /* masked: parsing it strictly works */
            char text[PREFIX_TEXT_CAP];
            struct prefix again;

            prefix_print(&p->allowed_ips[j], text);
            must(prefix_parse(bytes_of_str(text), /*host_bits=*/false, &again) == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct wg_conf conf = {0};
    struct why why = {0};
    int err = wg_conf_parse("fuzz.conf", bytes_of(data, len), &conf, &why);

    if (err == 0) {
        check_good(&conf);
    } else {
        must(err == -EINVAL);
        must(why.line >= 1);
        must(why.column >= 1);
        must(why.text[0] != '\0');
        must(conf.peer_count == 0);
        must(conf.peers == NULL);
    }
    wg_conf_done(&conf);
    return 0;
}
