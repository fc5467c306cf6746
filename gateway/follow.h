/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the gateway room: what latticed says becomes peers. */
#ifndef GATEWAY_FOLLOW_H
#define GATEWAY_FOLLOW_H

#include "base/loop.h"
#include "base/must.h"
#include "enroll/enroll.h"

struct follow;
struct gateway;

struct follow_config {
    struct loop *loop;       /* borrowed */
    struct gateway *gateway; /* borrowed */
    struct enroll *enroll;   /* borrowed */
    void (*lost)(void *self);
    void *self;
};

int follow_new(const struct follow_config *config, struct follow **ret) MUST_USE;
/** follow_free() - Accepts NULL. */
void follow_free(struct follow *f);

#endif
