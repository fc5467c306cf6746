/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of what flowed, written when it is over.
 */
#ifndef SANDBOX_RECORDS_H
#define SANDBOX_RECORDS_H

#include "sandbox/session.h"

/** records_flow() - A TCP flow ended with @err (0 in order). */
void records_flow(struct session *s, const struct vsock *v, int err,
                  const struct flow_stats *stats);
/** records_udp_end() - A UDP socket is gone: one record when it exchanged anything with the
 * network. */
void records_udp_end(struct session *s, const struct vsock *v);

/** What a ping socket exchanged with one destination. */
struct ping_exchange {
    uint64_t requests;
    uint64_t replies;
    uint64_t bytes_out; /* of the messages' data */
    uint64_t bytes_in;
    int64_t duration_ns;
};
/** records_ping() - An exchange that was allowed by @info is over. */
void records_ping(struct session *s, const struct vsock *v, const struct ip *dst,
                  const struct flow_info *info, const struct ping_exchange *exchange);

#endif
