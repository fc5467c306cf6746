/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends the log to the stream, in order, at least once. Go-back-N: a refusal, a missing
 * acknowledgement or a new connection moves the cursor back, never a single message; the receiver
 * recognises what it has by its id. It never changes the log, and it never stops the log from being
 * written.
 */
#include "audit/outbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/record.h"
#include "base/io.h"
#include "base/own.h"

#define ACK_LIMIT_S  15 /* the link gives up on a message after 5 s */
#define BACK_OFF_MS  500
#define MARK_S       10
#define OFFSET_LEN   20u
#define SENT_LEN     (2 * (OFFSET_LEN + 1) + NATS_LINK_ID_CAP) /* two offsets, a server, a newline */
#define REMEMBER_MS  200
#define LINES_A_TURN 256u

static_assert(OUTBOX_KEEP_S < (OUTBOX_MARKS - 1) * MARK_S, "the marks reach back far enough");
static_assert(OUTBOX_WINDOW < NATS_LINK_QUEUE / 2 + 1, "flows may take two messages each");

/** Go back to @offset; what is in the window is forgotten. */
static void go_back(struct outbox *o, uint64_t offset)
{
    o->first = 0;
    o->count = 0;
    o->acked = offset;
    lines_seek(&o->lines, offset);
}

static int read_digits(const char *text, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < OFFSET_LEN; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return -EINVAL;
    *ret = v;
    return 0;
}

/** An offset that we may begin at: the beginning of the file, or right behind a newline. */
static bool is_line_start(int log_fd, uint64_t offset)
{
    char before;

    return offset == 0 || (offset <= INT64_MAX &&
                           pread(log_fd, &before, 1, (off_t)offset - 1) == 1 && before == '\n');
}

/** What the file says; all of it from the beginning when that makes no sense. */
static void read_sent(struct outbox *o)
{
    char text[SENT_LEN + 1] = "";
    uint64_t safe;
    uint64_t acked;

    o->safe = 0;
    o->acked = 0;
    o->server[0] = '\0';
    if (pread(o->sent_fd, text, SENT_LEN, 0) != (ssize_t)SENT_LEN || text[SENT_LEN - 1] != '\n' ||
        read_digits(text, &safe) < 0 || read_digits(text + OFFSET_LEN + 1, &acked) < 0 ||
        safe > acked || !is_line_start(o->lines.fd, safe) || !is_line_start(o->lines.fd, acked))
        return;
    o->safe = safe;
    o->acked = acked;
    (void)snprintf(o->server, sizeof(o->server), "%.*s",
                   (int)strcspn(text + 2 * (OFFSET_LEN + 1), " \n"), text + 2 * (OFFSET_LEN + 1));
}

void outbox_remember(struct outbox *o, struct mono now)
{
    char text[SENT_LEN + 1];

    if (!o->is_owner || (o->remembered == o->acked && o->remembered_at.ns != 0))
        return;
    (void)snprintf(text, sizeof(text), "%020" PRIu64 " %020" PRIu64 " %-*s\n", o->safe, o->acked,
                   (int)NATS_LINK_ID_CAP - 1, o->server);
    (void)!pwrite(o->sent_fd, text, SENT_LEN, 0); /* not written means sent again: no harm */
    o->remembered = o->acked;
    o->remembered_at = now;
}

int outbox_open(struct outbox *o, const char *path, const char *workspace,
                const struct outbox_link *link, struct why *why)
{
    char sent_path[PATH_MAX];
    struct stat st;
    int err;

    *o = (struct outbox){.link = *link, .workspace = workspace, .sent_fd = -1};
    buf_init(&o->payload, AUDIT_LINE_MAX * 2);
    err = lines_open(&o->lines, path, 0, why);
    if (err < 0)
        return err;
    if ((size_t)snprintf(sent_path, sizeof(sent_path), "%s.sent", path) >= sizeof(sent_path))
        err = why_set(why, -ENAMETOOLONG, "the path of the audit log is too long");
    else
        o->sent_fd = open(sent_path,
                          O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (err == 0 && (o->sent_fd < 0 || fstat(o->sent_fd, &st) < 0))
        err = why_set(why, -errno, "cannot open %s: %s", sent_path, strerror(errno));
    if (err == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid()))
        err = why_set(why, -EPERM, "%s is not a regular file of this user", sent_path);
    if (err < 0)
        outbox_close(o);
    return err;
}

void outbox_close(struct outbox *o)
{
    lines_close(&o->lines);
    own_close(&o->sent_fd);
    buf_done(&o->payload);
}

/** Another server process may not have on disk what was acknowledged a moment ago. */
static void meet_server(struct outbox *o)
{
    if (o->connected[0] != '\0' && strcmp(o->connected, o->server) == 0) {
        go_back(o, o->acked);
        return;
    }
    o->mark_count = 0;
    go_back(o, o->safe);
    (void)snprintf(o->server, sizeof(o->server), "%s", o->connected);
}

/** One of the auditors that write this log sends it; when that one ends, another takes over. */
static bool own(struct outbox *o)
{
    if (o->is_owner || flock(o->sent_fd, LOCK_EX | LOCK_NB) < 0)
        return o->is_owner;
    o->is_owner = true;
    read_sent(o);
    if (o->is_up)
        meet_server(o);
    return true;
}

static void advance(struct outbox *o, struct mono now)
{
    while (o->count > 0 && o->window[o->first].is_acked) {
        o->acked = o->window[o->first].end_offset;
        o->first = (o->first + 1) % OUTBOX_WINDOW;
        o->count--;
        o->oldest_sent = now;
    }
}

static void note_ack(struct outbox *o, const char *id, struct mono now)
{
    for (unsigned i = 0; i < o->count;
         i++) { /* acknowledgements come in order: the first ones match */
        struct outbox_entry *e = &o->window[(o->first + i) % OUTBOX_WINDOW];

        if (strcmp(e->id, id) == 0) {
            e->is_acked = true;
            break;
        }
    }
    advance(o, now);
}

void outbox_hear(struct outbox *o, const struct nats_link_event *e, struct mono now)
{
    switch (e->news) {
    case NATS_LINK_UP:
        (void)snprintf(o->connected, sizeof(o->connected), "%s", e->id);
        o->is_up = true;
        if (o->is_owner)
            meet_server(o);
        return;
    case NATS_LINK_DOWN:
        o->is_up = false;
        return;
    case NATS_LINK_ACK:
        note_ack(o, e->id, now);
        return;
    case NATS_LINK_REFUSED:
        go_back(o, o->acked);
        o->not_before = mono_add_ms(now, BACK_OFF_MS);
        return;
    }
}

void outbox_add_token(struct buf *to, const char *text)
{
    size_t len = 0;

    for (; text != NULL && *text != '\0'; text++, len++) {
        char c = *text;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c == '-';

        buf_add_char(to, is_plain ? c : '_');
    }
    if (len == 0)
        buf_add_char(to, '_');
}

static void print_compat(const struct audit_record *r, struct buf *to)
{
    char ip[IP_TEXT_CAP] = "";
    char time[RFC3339_CAP];
    struct json_out j;

    if (r->dst.ip.family != IP_NONE)
        (void)ip_print(&r->dst.ip, ip);
    wall_print(r->wall_ns, time);
    json_out_init(&j, to);
    json_open_object(&j);
    json_put_str(&j, "agentId", r->identity != NULL ? r->identity : "");
    json_put_str(&j, "traceId", r->trace_id != NULL ? r->trace_id : "");
    json_put_str(&j, "direction", r->direction != NULL ? r->direction : "egress");
    json_put_str(&j, "dstIp", ip);
    json_put_u64(&j, "dstPort", r->dst.port);
    json_put_u64(&j, "bytes", r->bytes_out + r->bytes_in);
    json_put_str(&j, "ts", time);
    json_close_object(&j);
}

int audit_compat_flow(struct bytes payload, struct buf *ret)
{
    struct record_text t;
    int err = record_read(payload, RECORD_STREAM, &t, NULL);

    if (err < 0)
        return err;
    if (t.r.kind == AUDIT_FLOW)
        print_compat(&t.r, ret);
    err = t.r.kind != AUDIT_FLOW ? 0 : buf_error(ret) < 0 ? -ENOBUFS : 1;
    record_text_done(&t);
    return err;
}

/** The older subject for flows, with exactly its fields (docs/audit.md); nobody acknowledges it. */
static void publish_compat(struct outbox *o, const struct audit_record *r)
{
    buf_reset(&o->payload);
    print_compat(r, &o->payload);
    if (buf_error(&o->payload) == 0)
        (void)!o->link.publish(o->link.self, AUDIT_COMPAT_SUBJECT, NULL,
                               buf_bytes(&o->payload)); /* at most once */
}

static int publish(struct outbox *o, const struct record_text *t, const struct chain_seal *seal,
                   const char *id)
{
    struct buf subject;
    int err;

    buf_init(&subject, 512);
    buf_add_str(&subject, "lattice.");
    outbox_add_token(&subject, o->workspace);
    buf_add_str(&subject, record_is_span(&t->r) ? ".tool_spans." : ".flow_events.");
    outbox_add_token(&subject, t->r.identity);
    buf_reset(&o->payload);
    err = record_payload(&t->r, seal->id, seal->seq, seal->hash, &o->payload);
    if (err == 0)
        err = o->link.publish(o->link.self, buf_text(&subject), id, buf_bytes(&o->payload));
    buf_done(&subject);
    if (err == 0 && !o->is_confined && t->r.kind == AUDIT_FLOW &&
        o->lines.offset > o->compat_until) {
        publish_compat(o, &t->r);
        o->compat_until = o->lines.offset;
    }
    return err;
}

/** Send one line. Errors: those of publishing; what is no record is skipped (verify tells of it).
 */
static int send_line(struct outbox *o, struct bytes line, struct mono now)
{
    struct outbox_entry *e = &o->window[(o->first + o->count) % OUTBOX_WINDOW];
    struct record_text t;
    struct chain_seal seal;
    int err;

    if (chain_read(line, &seal) < 0 || record_read(line, RECORD_LINE, &t, NULL) < 0) {
        *e = (struct outbox_entry){.end_offset = o->lines.offset, .is_acked = true};
        o->skipped++;
        err = 0;
    } else {
        *e = (struct outbox_entry){.end_offset = o->lines.offset};
        (void)snprintf(e->id, sizeof(e->id), "%s-%" PRIu64, seal.id, seal.seq);
        err = publish(o, &t, &seal, e->id);
        record_text_done(&t);
        o->published += err == 0;
    }
    if (err == 0) {
        if (o->count == 0)
            o->oldest_sent = now;
        o->count++;
    }
    return err;
}

static void send_lines(struct outbox *o, struct mono now)
{
    for (unsigned i = 0; i < LINES_A_TURN && o->count < OUTBOX_WINDOW; i++) {
        uint64_t start = o->lines.offset;
        struct bytes line;

        if (lines_next(&o->lines, &line) != 1)
            break;
        if (send_line(o, line, now) < 0) { /* the queue is full */
            lines_seek(&o->lines, start);
            o->not_before = mono_add_ms(now, 10);
            break;
        }
    }
    advance(o, now);
}

static void move_safe(struct outbox *o, struct mono now)
{
    struct mono limit = {.ns = now.ns - OUTBOX_KEEP_S * NS_PER_S};
    unsigned old = 0;

    if (o->mark_count == 0 ||
        !mono_before(now, mono_add_ns(o->marks[o->mark_count - 1].at, MARK_S * NS_PER_S))) {
        must(o->mark_count < OUTBOX_MARKS);
        o->marks[o->mark_count++] = (struct outbox_mark){.at = now, .offset = o->acked};
    }
    while (old < o->mark_count && !mono_before(limit, o->marks[old].at))
        old++;
    if (old == 0)
        return;
    if (o->marks[old - 1].offset > o->safe) {
        o->safe = o->marks[old - 1].offset;
        o->remembered_at = (struct mono){0}; /* to be written */
    }
    memmove(o->marks, o->marks + old, (o->mark_count - old) * sizeof(o->marks[0]));
    o->mark_count -= old;
}

void outbox_pump(struct outbox *o, struct mono now)
{
    if (!own(o) || !o->is_up || mono_before(now, o->not_before))
        return;
    if (o->count > 0 && !mono_before(now, mono_add_ns(o->oldest_sent, ACK_LIMIT_S * NS_PER_S)))
        go_back(o, o->acked);
    send_lines(o, now);
    move_safe(o, now);
    if (!mono_before(now, mono_add_ms(o->remembered_at, REMEMBER_MS)))
        outbox_remember(o, now);
}

bool outbox_is_empty(const struct outbox *o)
{
    struct stat st;

    return o->count == 0 && fstat(o->lines.fd, &st) == 0 && o->acked >= (uint64_t)st.st_size;
}

struct mono outbox_deadline(const struct outbox *o)
{
    struct stat st;

    if (!o->is_owner)
        return MONO_NEVER;
    if (o->is_up && o->count < OUTBOX_WINDOW && fstat(o->lines.fd, &st) == 0 &&
        o->lines.offset < (uint64_t)st.st_size)
        return o->not_before;
    return o->count > 0 ? mono_add_ns(o->oldest_sent, ACK_LIMIT_S * NS_PER_S) : MONO_NEVER;
}
