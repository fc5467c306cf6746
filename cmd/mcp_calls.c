/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots for spans, and a pipe of span ids. The sandbox reads the pipe when something happens in it,
 * so a server that does nothing but answer fills it; then what was not read is thrown away, as only
 * the latest line counts.
 */
#include "cmd/mcp_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"

int mcp_calls_open(struct mcp_calls *c)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    c->cause_in = fds[0];
    c->cause_out = fds[1];
    return 0;
}

void mcp_calls_close(struct mcp_calls *c)
{
    own_close(&c->cause_in);
    own_close(&c->cause_out);
}

/** The call that began last and has not ended; NULL: none. */
static const struct mcp_calls_slot *latest(const struct mcp_calls *c)
{
    const struct mcp_calls_slot *best = NULL;

    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++)
        if (c->slots[i].serial != 0 && (best == NULL || c->slots[i].serial > best->serial))
            best = &c->slots[i];
    return best;
}

static void make_room(struct mcp_calls *c)
{
    char text[4096];

    while (io_read(c->cause_in, text, sizeof(text)) > 0)
        ;
    /* The sandbox may have read half a line: this ends it, and it is no span. */
    (void)!io_write(c->cause_out, "\n", 1);
}

static void tell(struct mcp_calls *c)
{
    const struct mcp_calls_slot *now = latest(c);
    char line[AUDIT_SPAN_CAP + 2] = "\n";
    size_t len;

    if (c->cause_out < 0)
        return;
    if (now != NULL) {
        len = strlen(now->span.span_id);
        memcpy(line, now->span.span_id, len);
        line[len++] = '\n';
    } else {
        len = 1;
    }
    if (io_write(c->cause_out, line, len) == -EAGAIN) {
        make_room(c);
        if (io_write(c->cause_out, line, len) < 0)
            log_warn("what the server does cannot be tied to its tool calls");
    }
}

uint64_t mcp_calls_begin(struct mcp_calls *c)
{
    for (unsigned i = 0; i < MCP_IN_FLIGHT_MAX; i++) {
        struct mcp_calls_slot *s = &c->slots[i];

        if (s->serial != 0)
            continue;
        s->serial = ++c->serial;
        audit_span_begin(c->audit, NULL, &s->span);
        tell(c);
        return i + 1;
    }
    return 0; /* the gateway lets no more than these be under way */
}

int mcp_calls_end(struct mcp_calls *c, uint64_t tag, const struct audit_record *outcome)
{
    struct audit_span span;

    if (tag == 0 || tag > MCP_IN_FLIGHT_MAX) {
        audit_span_begin(c->audit, NULL, &span);
    } else {
        span = c->slots[tag - 1].span;
        c->slots[tag - 1].serial = 0;
        tell(c);
    }
    return audit_span_end(c->audit, &span, outcome);
}
