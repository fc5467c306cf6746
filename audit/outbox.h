/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What still has to go to the stream. The log itself is the spool: it is append-only, chained, and
 * never deleted by us; the outbox is a cursor in it. A file beside the log (FILE.sent) says up to
 * where all is stored safely, so nothing is forgotten by a kill -9, and little is sent again.
 *
 * Acknowledged is not yet durable: nats-server forces its files to disk every two minutes unless
 * told otherwise. So "safe" trails "acknowledged" by OUTBOX_KEEP_S, and after each reconnection the
 * outbox goes back to what is safe. Messages carry their Nats-Msg-Id, so the stream keeps one of
 * each.
 */
#ifndef AUDIT_OUTBOX_H
#define AUDIT_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/lines.h"
#include "audit/nats.h"
#include "base/buf.h"
#include "base/clock.h"

#define OUTBOX_WINDOW 512u /* messages that wait for their acknowledgement */
#define OUTBOX_KEEP_S 150  /* above nats-server's default sync_interval of 2 min */
#define OUTBOX_MARKS  32u

struct outbox_entry {
    char id[NATS_LINK_ID_CAP];
    uint64_t end_offset; /* of its line */
    bool is_acked;
};

struct outbox_mark {
    struct mono at;
    uint64_t offset;
};

/** How messages leave; a test hands in its own. */
struct outbox_link {
    int (*publish)(void *self, const char *subject, const char *id, struct bytes payload);
    void *self;
};

struct outbox {
    struct outbox_link link;
    const char *workspace; /* borrowed */
    bool is_confined;      /* we may publish on our own subjects only; set after outbox_open() */
    struct lines lines;
    bool is_owner; /* we hold the lock: several auditors may write one log, one of them sends it */
    bool is_up;
    int sent_fd;
    uint64_t acked;                   /* all lines that end at or before it are acknowledged */
    uint64_t safe;                    /* … and were so OUTBOX_KEEP_S ago */
    char server[NATS_LINK_ID_CAP];    /* the process that acknowledged; "": none yet */
    char connected[NATS_LINK_ID_CAP]; /* the process that we are connected to */
    uint64_t remembered;              /* @acked as the file has it */
    struct mono remembered_at;
    struct mono oldest_sent; /* when the window last moved */
    struct mono not_before;  /* no sending before: after a refusal */
    struct outbox_mark marks[OUTBOX_MARKS];
    unsigned mark_count;
    struct outbox_entry window[OUTBOX_WINDOW];
    unsigned first;
    unsigned count;
    uint64_t compat_until; /* flows up to here were published on the older subject */
    uint64_t published;    /* counters */
    uint64_t skipped;
    struct buf payload;
};

/** outbox_add_token() - Append @text as a word of a subject: everything but letters, digits, `_`
 * and `-` becomes `_`. */
void outbox_add_token(struct buf *to, const char *text);

/** outbox_open() - For the log @path, which exists. Errors: -errno with @why. */
int outbox_open(struct outbox *o, const char *path, const char *workspace,
                const struct outbox_link *link, struct why *why) MUST_USE;
void outbox_close(struct outbox *o);

/** outbox_hear() - Take an event of the link. */
void outbox_hear(struct outbox *o, const struct nats_link_event *e, struct mono now);
/** outbox_pump() - Send what the log has gained, as far as the window allows; remember what is
 * safe. */
void outbox_pump(struct outbox *o, struct mono now);
/** outbox_remember() - Write down what is acknowledged, now rather than soon. */
void outbox_remember(struct outbox *o, struct mono now);
/** outbox_is_empty() - Is everything that the log holds acknowledged? */
bool outbox_is_empty(const struct outbox *o);
/** outbox_deadline() - When outbox_pump() wants to be called even if nothing happens. */
struct mono outbox_deadline(const struct outbox *o);

#endif
