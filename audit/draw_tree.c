/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws a trace for a person: one line a span or flow; the tree on the left, then how it ended, how
 * long it took and what decided, in columns.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/draw_text.h"
#include "audit/tree.h"
#include "base/display.h"
#include "base/json.h"

#define LABEL_MIN   24u
#define LABEL_MAX   72u
#define STATE_WIDTH 10u
#define DETAIL_MIN  24u
#define HEAD_MIN    100u                      /* columns for the head on one line */
#define PREFIX_MAX  (TREE_DEPTH_MAX * 5 + 16) /* "│  " is 5 bytes a level */
#define TEXT_MAX    (1u << 24)

struct row {
    size_t label; /* offsets into texts; each text ends with a NUL */
    size_t lead;  /* bytes of the label that are the tree's */
    size_t took;
    size_t detail;
    const char *state;
    enum draw_colour colour;
    enum draw_colour label_colour;
};

struct drawer {
    const struct audit_drawing *how;
    struct buf texts;
    struct row *rows;
    size_t count;
    size_t cap;
    int err;
};

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
        draw_named(to, "", json);
        return;
    }
    for (const struct json *m = json_first(json_root(doc)); m != NULL; m = json_next(m)) {
        bool is_quoted = json_read_str(m, &word) == 0 && !is_plain_word(word);

        if (json_read_str(m, &word) < 0)
            continue;
        buf_add_str(to, is_quoted ? "'" : "");
        display_safe(to, word);
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
                    .colour = is_drop         ? DRAW_BAD
                              : f->would_deny ? DRAW_WARN
                                              : DRAW_GOOD};
    const char *where = f->name != NULL ? f->name : f->dst_ip;
    bool is_bracketed = f->name == NULL && f->dst_ip != NULL && strchr(f->dst_ip, ':') != NULL;

    r.label = d->texts.len;
    r.lead = strlen(prefix);
    buf_printf(&d->texts, "%s%s ", prefix,
               is_drop                                                        ? "✗"
               : f->direction != NULL && strcmp(f->direction, "ingress") == 0 ? "←"
                                                                              : "→");
    buf_add_str(&d->texts, is_bracketed ? "[" : "");
    display_safe(&d->texts, where != NULL ? where : "?");
    buf_add_str(&d->texts, is_bracketed ? "]" : "");
    if (f->dst_port > 0) /* a socket in the file system has none */
        buf_printf(&d->texts, ":%u", f->dst_port);
    if (f->protocol != NULL && strcmp(f->protocol, "tcp") != 0) {
        buf_add_char(&d->texts, ' ');
        display_safe(&d->texts, f->protocol);
    }
    (void)end_text(d, r.label);
    r.took = print_took(d, f->duration_ns);
    r.detail = d->texts.len;
    if (!f->is_decision) {
        draw_amount(&d->texts, "↑ ", f->bytes_out);
        draw_amount(&d->texts, "↓ ", f->bytes_in);
    }
    draw_named(&d->texts, "rule ", f->rule);
    if (is_drop || f->would_deny)
        draw_named(&d->texts, "", f->reason);
    if (f->name != NULL)
        draw_named(&d->texts, "", f->dst_ip);
    draw_named(&d->texts, "", f->error);
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
                    .label_colour = DRAW_STRONG};

    r.colour = is_running ? DRAW_PLAIN : r.state[0] == 'o' ? DRAW_GOOD : DRAW_BAD;
    r.label = d->texts.len;
    r.lead = strlen(prefix);
    buf_add_str(&d->texts, prefix);
    if (is_tool)
        buf_add_str(&d->texts, "tool:");
    display_safe(&d->texts, s->tool);
    if (n->parent == NULL ? is_tool : strcmp(n->parent->row.agent, s->agent) != 0) {
        buf_add_str(&d->texts, " @");
        display_safe(&d->texts, s->agent);
    }
    (void)end_text(d, r.label);
    r.took = print_took(d, s->duration_ns);
    r.detail = d->texts.len;
    if (!is_tool && !is_running && s->exit_status != 0)
        buf_printf(&d->texts, "exit %d  ", s->exit_status);
    draw_named(&d->texts, "", s->mode);
    draw_named(&d->texts, "rule ", s->rule);
    draw_named(&d->texts, "", s->reason);
    draw_named(&d->texts, "", s->error);
    add_arguments(&d->texts, s->arguments);
    if (!is_tool && is_exe_news(s, d->how->all))
        draw_named(&d->texts, "", s->exe);
    draw_named(&d->texts, "", s->detail);
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

static unsigned label_width(struct drawer *d)
{
    unsigned most =
        d->how->columns > 0 && d->how->columns / 2 < LABEL_MAX ? d->how->columns / 2 : LABEL_MAX;
    unsigned width = LABEL_MIN;

    for (size_t i = 0; i < d->count; i++) {
        unsigned w = display_width(text_at(d, d->rows[i].label));

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
    used = display_width((const char *)buf_text(ret) + start);
    buf_init(&text, TEXT_MAX);
    buf_add_str(&text, text_at(d, r->detail));
    if (is_label_cut)
        buf_add_str(&text, text_at(d, r->label) + r->lead);
    draw_begin(d->how, ret, DRAW_DIM);
    display_cut(ret, buf_text(&text), d->how->columns > used + 10 ? d->how->columns - used : 10);
    draw_end(d->how, ret, DRAW_DIM);
    buf_done(&text);
}

/** @next: the row after it, or NULL. */
static void print_row(struct drawer *d, const struct row *r, const struct row *next, unsigned label,
                      struct buf *ret)
{
    const char *detail = text_at(d, r->detail);
    const char *took = text_at(d, r->took);
    unsigned width = display_width(text_at(d, r->label));
    unsigned used = label + 2 + STATE_WIDTH + 1 + 10;
    bool is_narrow = d->how->columns > 0 && d->how->columns < used + DETAIL_MIN;

    draw_begin(d->how, ret, r->label_colour);
    display_cut(ret, text_at(d, r->label), label);
    draw_end(d->how, ret, r->label_colour);
    draw_pad(ret, width < label ? width : label, label + 2);
    draw_begin(d->how, ret, r->colour);
    buf_add_str(ret, r->state);
    draw_end(d->how, ret, r->colour);
    draw_pad(ret, (unsigned)strlen(r->state), STATE_WIDTH + 1);
    draw_pad(ret, display_width(took), 10);
    buf_add_str(ret, took);
    if (detail[0] != '\0' && !is_narrow) {
        buf_add_str(ret, "  ");
        draw_begin(d->how, ret, DRAW_DIM);
        display_cut(ret, detail, d->how->columns == 0 ? 4096 : d->how->columns - used - 2);
        draw_end(d->how, ret, DRAW_DIM);
    }
    draw_trim(ret);
    buf_add_char(ret, '\n');
    /* In a narrow terminal only what went wrong is explained. */
    if (is_narrow && (r->colour == DRAW_BAD || r->colour == DRAW_WARN)) {
        print_below(d, r, next, width > label, ret);
        draw_trim(ret);
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
    draw_begin(d->how, ret, DRAW_STRONG);
    buf_printf(ret, "trace %s", trace);
    draw_end(d->how, ret, DRAW_STRONG);
    buf_add_str(ret, d->how->columns > 0 && d->how->columns < HEAD_MIN ? "\n" : "  ");
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
