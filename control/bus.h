/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of records into the projection: a durable consumer whose messages are put into the
 * store on our own thread and acknowledged when they are on the disk.
 */
#ifndef CONTROL_BUS_H
#define CONTROL_BUS_H

#include "audit/audit.h"
#include "base/loop.h"
#include "base/must.h"
#include "base/why.h"

struct bus;

struct bus_counters {
    uint64_t taken;
    uint64_t refused; /* no records, or in another agent's name: acknowledged, so that they do not
                       * come again */
    uint64_t failed;  /* not stored: they come again */
    bool is_subscribed;
};

/** Who publishes on subjects of its own only: its flows are told on lattice.audit.flow by us. */
struct bus_sources {
    bool (*is_confined)(void *self, const char *workspace, const char *agent);
    void *self;
};

int bus_open(struct loop *loop, const struct audit_stream *stream, struct audit_store *store,
             const struct bus_sources *sources, struct bus **ret, struct why *why) MUST_USE;
struct bus_counters bus_counters(const struct bus *b);
void bus_close(struct bus *b);

#endif
