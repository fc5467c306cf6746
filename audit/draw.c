/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws a trace for a person: one line a span or flow; the tree on the left, then how it ended, how
 * long it took and what decided, in columns. Foreign text is made harmless to a terminal: no
 * control character, no direction override leaves this file.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/tree.h"
#include "base/json.h"

#define LABEL_MIN    24u
#define LABEL_MAX    72u
#define STATE_WIDTH  10u
#define DETAIL_MIN   24u
#define DETAIL_LEAST 12u
#define WHAT_WIDTH   40u
#define LINE_MIN     100u                      /* columns for a whole line of a list */
#define PREFIX_MAX   (TREE_DEPTH_MAX * 5 + 16) /* "│  " is 5 bytes a level */
#define TEXT_MAX     (1u << 24)

enum colour { PLAIN = 0, DIM, GOOD, BAD, WARN, STRONG };

struct row {
    size_t label; /* offsets into texts; each text ends with a NUL */
    size_t lead;  /* bytes of the label that are the tree's */
    size_t took;
    size_t detail;
    const char *state;
    enum colour colour;
    enum colour label_colour;
};

struct drawer {
    const struct audit_drawing *how;
    struct buf texts;
    struct row *rows;
    size_t count;
    size_t cap;
    int err;
};

/** Bytes of the character at @p (1 for what is not UTF-8), and whether a terminal may see it. */
static size_t character(const uint8_t *p, size_t left, bool *ret_is_safe)
{
    size_t len = p[0] < 0x80         ? 1
                 : p[0] >> 5 == 0x6  ? 2
                 : p[0] >> 4 == 0xe  ? 3
                 : p[0] >> 3 == 0x1e ? 4
                                     : 0;
    uint32_t rune;

    *ret_is_safe = false;
    if (len == 0 || len > left)
        return 1;
    rune = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 1;
        rune = rune << 6 | (p[i] & 0x3fu);
    }
    *ret_is_safe = rune >= 0x20 && rune != 0x7f && !(rune >= 0x80 && rune < 0xa0) &&
                   !(rune >= 0x200b && rune <= 0x200f) && !(rune >= 0x2028 && rune <= 0x202e) &&
                   !(rune >= 0x2060 && rune <= 0x206f) && rune != 0xfeff &&
                   !(len == 2 && rune < 0x80) &&
                   !(len == 3 && (rune < 0x800 || (rune >= 0xd800 && rune < 0xe000))) &&
                   !(len == 4 && (rune < 0x10000 || rune > 0x10ffff));
    return len;
}

static void add_safe(struct buf *to, const char *text)
{
    size_t left = text != NULL ? strlen(text) : 0;
    const uint8_t *p = (const uint8_t *)text;

    while (left > 0) {
        bool is_safe;
        size_t len = character(p, left, &is_safe);

        if (is_safe)
            buf_add(to, p, len);
        else
            buf_add_char(to, '?');
        p += len;
        left -= len;
    }
}

/** Columns that @text takes; every character counts as one. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;

    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

/** Append at most @columns columns of @text; the last becomes an ellipsis when it does not fit. */
static void add_cut(struct buf *to, const char *text, unsigned columns)
{
    unsigned width = 0;

    if (width_of(text) <= columns) {
        buf_add_str(to, text);
        return;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (((uint8_t)*p & 0xc0) != 0x80 && ++width >= columns)
            break;
        buf_add_char(to, *p);
    }
    buf_add_str(to, "…");
}

static size_t end_text(struct drawer *d, size_t from)
{
    buf_add_char(&d->texts, '\0');
    return from;
}

static size_t print_took(struct drawer *d, int64_t ns)
{
    size_t from = d->texts.len;

    if (ns >= 60 * NS_PER_S)
        buf_printf(&d->texts, "%lld m %02lld s", (long long)(ns / (60 * NS_PER_S)),
                   (long long)(ns / NS_PER_S % 60));
    else if (ns >= NS_PER_S)
        buf_printf(&d->texts, "%.2f s", (double)ns / 1e9);
    else if (ns >= 10 * NS_PER_MS)
        buf_printf(&d->texts, "%.0f ms", (double)ns / 1e6);
    else if (ns >= 0)
        buf_printf(&d->texts, "%.2f ms", (double)ns / 1e6);
    return end_text(d, from);
}

static void add_amount(struct buf *to, const char *arrow, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes;
    unsigned unit = 0;

    while (amount >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        amount /= 1024;
        unit++;
    }
    buf_printf(to, unit == 0 ? "%s%.0f %s  " : "%s%.1f %s  ", arrow, amount, units[unit]);
}

static void add_row(struct drawer *d, const struct row *r)
{
    if (d->count == d->cap) {
        size_t cap = d->cap > 0 ? d->cap * 2 : 64;
        struct row *rows = realloc(d->rows, cap * sizeof(*rows));

        if (rows == NULL) {
            d->err = -ENOMEM;
            return;
        }
        d->rows = rows;
        d->cap = cap;
    }
    d->rows[d->count++] = *r;
}

static void add_named(struct buf *to, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    buf_add_str(to, name);
    add_safe(to, text);
    buf_add_str(to, "  ");
}

static bool is_plain_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._/:=,+@%[]…";

    return word[0] != '\0' && strspn(word, plain) == strlen(word);
}

/** A program's arguments as one would type them; of other JSON, the text. */
static void add_arguments(struct buf *to, const char *json)
{
    const struct json_limits limits = {.bytes = AUDIT_LINE_MAX};
    struct json_doc *doc = NULL;
    const char *word;

    if (json == NULL || json[0] == '\0')
        return;
    if (json[0] != '[' || json_parse(bytes_of_str(json), &limits, &doc, NULL) < 0) {
        add_named(to, "", json);
        return;
    }
    for (const struct json *m = json_first(json_root(doc)); m != NULL; m = json_next(m)) {
        bool is_quoted = json_read_str(m, &word) == 0 && !is_plain_word(word);

        if (json_read_str(m, &word) < 0)
            continue;
        buf_add_str(to, is_quoted ? "'" : "");
        add_safe(to, word);
        buf_add_str(to, is_quoted ? "' " : " ");
    }
    buf_add_char(to, ' ');
    json_free(doc);
}

/** Is it worth saying which file it was? Not when the name says it. */
static bool is_exe_news(const struct audit_span_row *s, bool is_all)
{
    const char *slash = s->exe != NULL ? strrchr(s->exe, '/') : NULL;

    if (s->exe == NULL || strcmp(s->kind, "exec") != 0 || is_all)
        return s->exe != NULL;
    return slash == NULL || strncmp(s->tool, "exec:", 5) != 0 ||
           strcmp(slash + 1, s->tool + 5) != 0;
}

static void draw_flow(struct drawer *d, const struct audit_flow_row *f, const char *prefix)
{
    bool is_drop = strcmp(f->verdict, "drop") == 0;
    struct row r = {.state = is_drop         ? "drop"
                             : f->would_deny ? "would drop"
                                             : "allow",
                    .colour = is_drop         ? BAD
                              : f->would_deny ? WARN
                                              : GOOD};
    const char *where = f->name != NULL ? f->name : f->dst_ip;
    bool is_bracketed = f->name == NULL && f->dst_ip != NULL && strchr(f->dst_ip, ':') != NULL;

    r.label = d->texts.len;
    r.lead = strlen(prefix);
    buf_printf(&d->texts, "%s%s ", prefix,
               is_drop                                                        ? "✗"
               : f->direction != NULL && strcmp(f->direction, "ingress") == 0 ? "←"
                                                                              : "→");
    buf_add_str(&d->texts, is_bracketed ? "[" : "");
    add_safe(&d->texts, where != NULL ? where : "?");
    buf_add_str(&d->texts, is_bracketed ? "]" : "");
    if (f->dst_port > 0) /* a socket in the file system has none */
        buf_printf(&d->texts, ":%u", f->dst_port);
    if (f->protocol != NULL && strcmp(f->protocol, "tcp") != 0) {
        buf_add_char(&d->texts, ' ');
        add_safe(&d->texts, f->protocol);
    }
    (void)end_text(d, r.label);
    r.took = print_took(d, f->duration_ns);
    r.detail = d->texts.len;
    if (!f->is_decision) {
        add_amount(&d->texts, "↑ ", f->bytes_out);
        add_amount(&d->texts, "↓ ", f->bytes_in);
    }
    add_named(&d->texts, "rule ", f->rule);
    if (is_drop || f->would_deny)
        add_named(&d->texts, "", f->reason);
    if (f->name != NULL)
        add_named(&d->texts, "", f->dst_ip);
    add_named(&d->texts, "", f->error);
    (void)end_text(d, r.detail);
    add_row(d, &r);
}

static void draw_span(struct drawer *d, const struct tree_node *n, const char *prefix)
{
    const struct audit_span_row *s = &n->row;
    bool is_tool = strcmp(s->kind, "tool") == 0;
    bool is_running = s->duration_ns < 0;
    struct row r = {.state = is_running                          ? "running"
                             : strcmp(s->status, "ok") == 0      ? "ok"
                             : strcmp(s->status, "blocked") == 0 ? "blocked"
                                                                 : "error",
                    .label_colour = STRONG};

    r.colour = is_running ? PLAIN : r.state[0] == 'o' ? GOOD : BAD;
    r.label = d->texts.len;
    r.lead = strlen(prefix);
    buf_add_str(&d->texts, prefix);
    if (is_tool)
        buf_add_str(&d->texts, "tool:");
    add_safe(&d->texts, s->tool);
    if (n->parent == NULL ? is_tool : strcmp(n->parent->row.agent, s->agent) != 0) {
        buf_add_str(&d->texts, " @");
        add_safe(&d->texts, s->agent);
    }
    (void)end_text(d, r.label);
    r.took = print_took(d, s->duration_ns);
    r.detail = d->texts.len;
    if (!is_tool && !is_running && s->exit_status != 0)
        buf_printf(&d->texts, "exit %d  ", s->exit_status);
    add_named(&d->texts, "", s->mode);
    add_named(&d->texts, "rule ", s->rule);
    add_named(&d->texts, "", s->reason);
    add_named(&d->texts, "", s->error);
    add_arguments(&d->texts, s->arguments);
    if (!is_tool && is_exe_news(s, d->how->all))
        add_named(&d->texts, "", s->exe);
    add_named(&d->texts, "", s->detail);
    if (s->pid > 0)
        buf_printf(&d->texts, "pid %d  ", s->pid);
    (void)end_text(d, r.detail);
    add_row(d, &r);
}

static bool is_shown(const struct drawer *d, const struct tree_flow *f)
{
    bool is_lookup =
        f->row.is_decision && f->row.protocol != NULL && strcmp(f->row.protocol, "dns") == 0;

    if (d->how->all || strcmp(f->row.verdict, "allow") != 0 || f->row.would_deny)
        return true;
    return !f->is_covered && !is_lookup;
}

static const struct tree_flow *next_shown(const struct drawer *d, const struct tree_flow *f)
{
    while (f != NULL && !is_shown(d, f))
        f = f->next;
    return f;
}

/** Draw what stands below a node: @prefix is the text that leads every line there. Flows and child
 * spans are merged by their time. */
static void draw_below(struct drawer *d, const struct tree_node *child,
                       const struct tree_flow *flow, char prefix[static PREFIX_MAX])
{
    size_t len = strlen(prefix);

    flow = next_shown(d, flow);
    while (child != NULL || flow != NULL) {
        bool is_flow =
            child == NULL ||
            (flow != NULL &&
             flow->row.time_ns - (flow->row.duration_ns > 0 ? flow->row.duration_ns : 0) <
                 child->row.started_ns);
        const struct tree_flow *after = is_flow ? next_shown(d, flow->next) : flow;
        bool is_last =
            is_flow ? after == NULL && child == NULL : child->next == NULL && flow == NULL;

        (void)snprintf(prefix + len, PREFIX_MAX - len, is_last ? "└─ " : "├─ ");
        if (is_flow) {
            draw_flow(d, &flow->row, prefix);
            flow = after;
        } else {
            draw_span(d, child, prefix);
            (void)snprintf(prefix + len, PREFIX_MAX - len, is_last ? "   " : "│  ");
            draw_below(d, child->first_child, child->first_flow, prefix);
            child = child->next;
        }
    }
    prefix[len] = '\0';
}

static const char *text_at(struct drawer *d, size_t at)
{
    return (const char *)d->texts.data + at;
}

static void begin_colour(const struct drawer *d, struct buf *to, enum colour colour)
{
    static const char *const codes[] = {
        [PLAIN] = "",       [DIM] = "\033[2m",   [GOOD] = "\033[32m",
        [BAD] = "\033[31m", [WARN] = "\033[33m", [STRONG] = "\033[1m"};

    if (d->how->colour)
        buf_add_str(to, codes[colour]);
}

static void end_colour(const struct drawer *d, struct buf *to, enum colour colour)
{
    if (d->how->colour && colour != PLAIN)
        buf_add_str(to, "\033[0m");
}

static void pad(struct buf *to, unsigned width, unsigned want)
{
    for (; width < want; width++)
        buf_add_char(to, ' ');
}

static unsigned label_width(struct drawer *d)
{
    unsigned most =
        d->how->columns > 0 && d->how->columns / 2 < LABEL_MAX ? d->how->columns / 2 : LABEL_MAX;
    unsigned width = LABEL_MIN;

    for (size_t i = 0; i < d->count; i++) {
        unsigned w = width_of(text_at(d, d->rows[i].label));

        if (w > width)
            width = w;
    }
    return width < most ? width : most;
}

/** The tree's lines, drawn on past a row to a further line of it. @next: the row after it, or NULL.
 */
static void add_lead(struct drawer *d, const struct row *r, const struct row *next, struct buf *ret)
{
    const char *label = text_at(d, r->label);
    size_t above = r->lead >= sizeof("├─ ") - 1 ? r->lead - (sizeof("├─ ") - 1) : 0;

    buf_add(ret, label, above);
    if (r->lead > above)
        buf_add_str(ret, strncmp(label + above, "├", sizeof("├") - 1) == 0 ? "│  " : "   ");
    buf_add_str(ret, next != NULL && next->lead > r->lead ? "│  " : "   ");
}

/** What decided, on a line of its own; with the whole label, when it was cut. */
static void print_below(struct drawer *d, const struct row *r, const struct row *next,
                        bool is_label_cut, struct buf *ret)
{
    size_t start = ret->len;
    unsigned used;
    struct buf text;

    add_lead(d, r, next, ret);
    used = width_of((const char *)buf_text(ret) + start);
    buf_init(&text, TEXT_MAX);
    buf_add_str(&text, text_at(d, r->detail));
    if (is_label_cut)
        buf_add_str(&text, text_at(d, r->label) + r->lead);
    begin_colour(d, ret, DIM);
    add_cut(ret, buf_text(&text), d->how->columns > used + 10 ? d->how->columns - used : 10);
    end_colour(d, ret, DIM);
    buf_done(&text);
}

static void trim(struct buf *ret)
{
    while (ret->len > 0 && ret->data[ret->len - 1] == ' ')
        ret->len--;
}

/** @next: the row after it, or NULL. */
static void print_row(struct drawer *d, const struct row *r, const struct row *next, unsigned label,
                      struct buf *ret)
{
    const char *detail = text_at(d, r->detail);
    const char *took = text_at(d, r->took);
    unsigned width = width_of(text_at(d, r->label));
    unsigned used = label + 2 + STATE_WIDTH + 1 + 10;
    bool is_narrow = d->how->columns > 0 && d->how->columns < used + DETAIL_MIN;

    begin_colour(d, ret, r->label_colour);
    add_cut(ret, text_at(d, r->label), label);
    end_colour(d, ret, r->label_colour);
    pad(ret, width < label ? width : label, label + 2);
    begin_colour(d, ret, r->colour);
    buf_add_str(ret, r->state);
    end_colour(d, ret, r->colour);
    pad(ret, (unsigned)strlen(r->state), STATE_WIDTH + 1);
    pad(ret, width_of(took), 10);
    buf_add_str(ret, took);
    if (detail[0] != '\0' && !is_narrow) {
        buf_add_str(ret, "  ");
        begin_colour(d, ret, DIM);
        add_cut(ret, detail, d->how->columns == 0 ? 4096 : d->how->columns - used - 2);
        end_colour(d, ret, DIM);
    }
    trim(ret);
    buf_add_char(ret, '\n');
    /* In a narrow terminal only what went wrong is explained. */
    if (is_narrow && (r->colour == BAD || r->colour == WARN)) {
        print_below(d, r, next, width > label, ret);
        trim(ret);
        buf_add_char(ret, '\n');
    }
}

static void print_head(struct drawer *d, const struct audit_tree *t, struct buf *ret)
{
    const char *trace = t->node_count > 0 ? t->nodes[0].row.trace_id : t->flows[0].row.trace_id;
    int64_t started_ns = t->node_count > 0 ? t->nodes[0].row.started_ns : t->flows[0].row.time_ns;
    size_t denied = 0;
    char time[RFC3339_CAP];

    for (size_t i = 0; i < t->flow_count; i++)
        denied += strcmp(t->flows[i].row.verdict, "drop") == 0;
    wall_print(started_ns > 0 ? started_ns : 0, time);
    begin_colour(d, ret, STRONG);
    buf_printf(ret, "trace %s", trace);
    end_colour(d, ret, STRONG);
    buf_add_str(ret, d->how->columns > 0 && d->how->columns < LINE_MIN ? "\n" : "  ");
    buf_printf(ret, "%.10s %.8s UTC  %zu span%s, %zu flow%s", time, time + 11, t->node_count,
               t->node_count == 1 ? "" : "s", t->flow_count, t->flow_count == 1 ? "" : "s");
    if (denied > 0)
        buf_printf(ret, ", %zu dropped", denied);
    buf_add_char(ret, '\n');
}

int audit_tree_draw(const struct audit_tree *t, const struct audit_drawing *how, struct buf *ret)
{
    struct drawer d = {.how = how};
    char prefix[PREFIX_MAX] = "";
    unsigned label;

    buf_init(&d.texts, TEXT_MAX);
    draw_below(&d, t->first_root, t->first_orphan, prefix);
    if (d.err == 0)
        d.err = buf_error(&d.texts);
    if (d.err == 0) {
        label = label_width(&d);
        print_head(&d, t, ret);
        for (size_t i = 0; i < d.count; i++)
            print_row(&d, &d.rows[i], i + 1 < d.count ? &d.rows[i + 1] : NULL, label, ret);
        d.err = buf_error(ret);
    }
    buf_done(&d.texts);
    free(d.rows);
    return d.err;
}

/** When, and how it ended. Returns the columns that they take. */
static unsigned begin_line(const struct drawer *d, int64_t wall_ns, const char *state,
                           enum colour colour, bool is_narrow, struct buf *ret)
{
    char time[RFC3339_CAP];

    wall_print(wall_ns > 0 ? wall_ns : 0, time);
    begin_colour(d, ret, DIM);
    if (is_narrow)
        buf_printf(ret, "%.5s %.8s", time + 5, time + 11);
    else
        buf_printf(ret, "%.10s %.12s", time, time + 11);
    end_colour(d, ret, DIM);
    buf_add_char(ret, ' ');
    begin_colour(d, ret, colour);
    buf_add_str(ret, state);
    end_colour(d, ret, colour);
    pad(ret, (unsigned)strlen(state), STATE_WIDTH + 1);
    return (is_narrow ? 15 : 24) + STATE_WIDTH + 1;
}

/** One line of columns: state, then what, then why. In a narrow terminal they are two, below each
 * other. */
static void draw_line(const struct audit_drawing *how, int64_t wall_ns, const char *state,
                      enum colour colour, const char *what, const char *detail, struct buf *ret)
{
    const struct drawer d = {.how = how};
    bool is_narrow = how->columns > 0 && how->columns < LINE_MIN;
    unsigned used = begin_line(&d, wall_ns, state, colour, is_narrow, ret);
    unsigned width = width_of(what);
    unsigned left = how->columns > used + DETAIL_LEAST ? how->columns - used : DETAIL_LEAST;
    bool is_broken = is_narrow || (how->columns > 0 && width + 2 + DETAIL_LEAST > left);

    if (is_broken)
        add_cut(ret, what, left);
    else
        buf_add_str(ret, what);
    if (is_broken && detail[0] != '\0') {
        trim(ret);
        buf_add_char(ret, '\n');
        pad(ret, 0, used);
    } else if (detail[0] != '\0') {
        pad(ret, width, WHAT_WIDTH);
        buf_add_str(ret, "  ");
        used += (width > WHAT_WIDTH ? width : WHAT_WIDTH) + 2;
    }
    begin_colour(&d, ret, DIM);
    add_cut(ret, detail,
            how->columns == 0                    ? 4096
            : how->columns > used + DETAIL_LEAST ? how->columns - used
                                                 : DETAIL_LEAST);
    end_colour(&d, ret, DIM);
    trim(ret);
    buf_add_char(ret, '\n');
}

static void add_place(struct buf *to, const char *name, const char *ip, uint16_t port)
{
    bool is_bracketed = name == NULL && ip != NULL && strchr(ip, ':') != NULL;

    buf_add_str(to, is_bracketed ? "[" : "");
    add_safe(to, name != NULL ? name : ip != NULL ? ip : "?");
    buf_add_str(to, is_bracketed ? "]" : "");
    if (port != 0)
        buf_printf(to, ":%u", port);
}

void audit_flow_draw(const struct audit_flow_row *f, const struct audit_drawing *how,
                     struct buf *ret)
{
    bool is_drop = strcmp(f->verdict, "drop") == 0;
    struct buf what;
    struct buf detail;

    buf_init(&what, 4096);
    buf_init(&detail, 8192);
    add_named(&what, "", f->protocol);
    add_place(&what, f->name, f->dst_ip, f->dst_port);
    if (!f->is_decision) {
        add_amount(&detail, "↑ ", f->bytes_out);
        add_amount(&detail, "↓ ", f->bytes_in);
    }
    add_named(&detail, "rule ", f->rule);
    if (is_drop || f->would_deny)
        add_named(&detail, "", f->reason);
    if (f->name != NULL)
        add_named(&detail, "", f->dst_ip);
    add_named(&detail, "", f->error);
    add_named(&detail, "", f->exe);
    if (f->pid > 0)
        buf_printf(&detail, "pid %d  ", f->pid);
    add_named(&detail, "@", f->agent);
    draw_line(how, f->time_ns,
              is_drop          ? "drop"
              : f->would_deny  ? "would drop"
              : f->is_decision ? "allow"
                               : "flow",
              is_drop         ? BAD
              : f->would_deny ? WARN
                              : GOOD,
              buf_text(&what), buf_text(&detail), ret);
    buf_done(&what);
    buf_done(&detail);
}

static void draw_span_entry(const struct audit_record *r, const struct audit_drawing *how,
                            struct buf *ret)
{
    bool is_bad = (r->status != NULL && strcmp(r->status, "ok") != 0) || r->error != NULL ||
                  r->exit_status != 0;
    static const char *const words[AUDIT_KINDS] = {[AUDIT_START] = "start",
                                                   [AUDIT_STOP] = "stop",
                                                   [AUDIT_EXEC] = "exec",
                                                   [AUDIT_EXIT] = "exit",
                                                   [AUDIT_SPAN] = "tool"};
    struct buf what;
    struct buf detail;

    buf_init(&what, 4096);
    buf_init(&detail, 16384);
    if (r->tool == NULL && (r->kind == AUDIT_START || r->kind == AUDIT_STOP))
        add_named(&what, "sandbox:", r->identity);
    else
        add_named(&what, "", r->tool);
    if (r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT)
        buf_printf(&detail, "exit %d  ", r->exit_status);
    if (r->kind == AUDIT_SPAN)
        add_named(&detail, "", r->status);
    add_named(&detail, "", r->mode);
    add_named(&detail, "rule ", r->rule);
    add_named(&detail, "", r->reason);
    add_named(&detail, "", r->error);
    add_named(&detail, "", r->arguments);
    add_named(&detail, "", r->exe);
    if (r->pid > 0)
        buf_printf(&detail, "pid %d  ", r->pid);
    add_named(&detail, "", r->detail);
    if (r->kind == AUDIT_START)
        add_named(&detail, "trace ", r->trace_id);
    draw_line(how, r->wall_ns, words[r->kind] != NULL ? words[r->kind] : "?", is_bad ? BAD : STRONG,
              buf_text(&what), buf_text(&detail), ret);
    buf_done(&what);
    buf_done(&detail);
}

void audit_entry_draw(const struct audit_entry *e, const struct audit_drawing *how, struct buf *ret)
{
    const struct audit_record *r = &e->record;
    char dst[IP_TEXT_CAP];
    const struct audit_flow_row row = {
        .agent = r->identity,
        .is_decision = r->kind == AUDIT_DECISION,
        .direction = r->direction,
        .protocol = r->protocol,
        .dst_ip = r->dst.ip.family != IP_NONE ? ip_print(&r->dst.ip, dst) : NULL,
        .dst_port = r->dst.port,
        .name = r->name,
        .verdict = r->verdict != NULL ? r->verdict : "",
        .rule = r->rule,
        .reason = r->reason,
        .error = r->error,
        .exe = r->exe,
        .would_deny = r->would_deny,
        .pid = r->pid,
        .time_ns = r->wall_ns,
        .bytes_out = r->bytes_out,
        .bytes_in = r->bytes_in,
    };

    if (r->kind == AUDIT_DECISION || r->kind == AUDIT_FLOW)
        audit_flow_draw(&row, how, ret);
    else
        draw_span_entry(r, how, ret);
}

void audit_trace_draw(const struct audit_trace_row *r, const struct audit_drawing *how,
                      struct buf *ret)
{
    bool is_bad = r->failed > 0 || r->dropped > 0;
    struct buf what;
    struct buf detail;

    buf_init(&what, 4096);
    buf_init(&detail, 4096);
    add_safe(&what, r->trace_id);
    add_named(&detail, "@", r->agent);
    buf_printf(&detail, "%llu span%s  %llu flow%s  ", (unsigned long long)r->spans,
               r->spans == 1 ? "" : "s", (unsigned long long)r->flows, r->flows == 1 ? "" : "s");
    if (r->dropped > 0)
        buf_printf(&detail, "%llu dropped  ", (unsigned long long)r->dropped);
    if (r->failed > 0)
        buf_printf(&detail, "%llu failed  ", (unsigned long long)r->failed);
    add_amount(&detail, "↑ ", r->bytes_out);
    add_amount(&detail, "↓ ", r->bytes_in);
    draw_line(how, r->started_ns, is_bad ? "look" : "ok", is_bad ? WARN : GOOD, buf_text(&what),
              buf_text(&detail), ret);
    buf_done(&what);
    buf_done(&detail);
}
