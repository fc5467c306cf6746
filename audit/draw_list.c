/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws traces, flows and records for a person, one after the other: when, how it ended, what, why.
 */
#include <stdio.h>
#include <string.h>

#include "audit/draw_text.h"
#include "base/display.h"

#define STATE_WIDTH  10u
#define WHAT_WIDTH   40u
#define DETAIL_LEAST 12u
#define LINE_MIN     100u /* columns for a whole line of a list */

/** When, and how it ended. Returns the columns that they take. */
static unsigned begin_line(const struct audit_drawing *how, int64_t wall_ns, const char *state,
                           enum draw_colour colour, bool is_narrow, struct buf *ret)
{
    char time[RFC3339_CAP];

    wall_print(wall_ns > 0 ? wall_ns : 0, time);
    draw_begin(how, ret, DRAW_DIM);
    if (is_narrow)
        buf_printf(ret, "%.5s %.8s", time + 5, time + 11);
    else
        buf_printf(ret, "%.10s %.12s", time, time + 11);
    draw_end(how, ret, DRAW_DIM);
    buf_add_char(ret, ' ');
    draw_begin(how, ret, colour);
    buf_add_str(ret, state);
    draw_end(how, ret, colour);
    draw_pad(ret, (unsigned)strlen(state), STATE_WIDTH + 1);
    return (is_narrow ? 15 : 24) + STATE_WIDTH + 1;
}

/** One line of columns: state, then what, then why. In a narrow terminal they are two, below each
 * other. */
static void draw_line(const struct audit_drawing *how, int64_t wall_ns, const char *state,
                      enum draw_colour colour, const char *what, const char *detail,
                      struct buf *ret)
{
    bool is_narrow = how->columns > 0 && how->columns < LINE_MIN;
    unsigned used = begin_line(how, wall_ns, state, colour, is_narrow, ret);
    unsigned width = display_width(what);
    unsigned left = how->columns > used + DETAIL_LEAST ? how->columns - used : DETAIL_LEAST;
    bool is_broken = is_narrow || (how->columns > 0 && width + 2 + DETAIL_LEAST > left);

    if (is_broken)
        display_cut(ret, what, left);
    else
        buf_add_str(ret, what);
    if (is_broken && detail[0] != '\0') {
        draw_trim(ret);
        buf_add_char(ret, '\n');
        draw_pad(ret, 0, used);
    } else if (detail[0] != '\0') {
        draw_pad(ret, width, WHAT_WIDTH);
        buf_add_str(ret, "  ");
        used += (width > WHAT_WIDTH ? width : WHAT_WIDTH) + 2;
    }
    draw_begin(how, ret, DRAW_DIM);
    display_cut(ret, detail,
                how->columns == 0                    ? 4096
                : how->columns > used + DETAIL_LEAST ? how->columns - used
                                                     : DETAIL_LEAST);
    draw_end(how, ret, DRAW_DIM);
    draw_trim(ret);
    buf_add_char(ret, '\n');
}

static void add_place(struct buf *to, const char *name, const char *ip, uint16_t port)
{
    bool is_bracketed = name == NULL && ip != NULL && strchr(ip, ':') != NULL;

    buf_add_str(to, is_bracketed ? "[" : "");
    display_safe(to, name != NULL ? name : ip != NULL ? ip : "?");
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
    draw_named(&what, "", f->protocol);
    add_place(&what, f->name, f->dst_ip, f->dst_port);
    if (!f->is_decision) {
        draw_amount(&detail, "↑ ", f->bytes_out);
        draw_amount(&detail, "↓ ", f->bytes_in);
    }
    draw_named(&detail, "rule ", f->rule);
    if (is_drop || f->would_deny)
        draw_named(&detail, "", f->reason);
    if (f->name != NULL)
        draw_named(&detail, "", f->dst_ip);
    draw_named(&detail, "", f->error);
    draw_named(&detail, "", f->exe);
    if (f->pid > 0)
        buf_printf(&detail, "pid %d  ", f->pid);
    draw_named(&detail, "@", f->agent);
    draw_line(how, f->time_ns,
              is_drop          ? "drop"
              : f->would_deny  ? "would drop"
              : f->is_decision ? "allow"
                               : "flow",
              is_drop         ? DRAW_BAD
              : f->would_deny ? DRAW_WARN
                              : DRAW_GOOD,
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
        draw_named(&what, "sandbox:", r->identity);
    else
        draw_named(&what, "", r->tool);
    if (r->kind == AUDIT_STOP || r->kind == AUDIT_EXIT)
        buf_printf(&detail, "exit %d  ", r->exit_status);
    if (r->kind == AUDIT_SPAN)
        draw_named(&detail, "", r->status);
    draw_named(&detail, "", r->mode);
    draw_named(&detail, "rule ", r->rule);
    draw_named(&detail, "", r->reason);
    draw_named(&detail, "", r->error);
    draw_named(&detail, "", r->arguments);
    draw_named(&detail, "", r->exe);
    if (r->pid > 0)
        buf_printf(&detail, "pid %d  ", r->pid);
    draw_named(&detail, "", r->detail);
    if (r->kind == AUDIT_START)
        draw_named(&detail, "trace ", r->trace_id);
    draw_line(how, r->wall_ns, words[r->kind] != NULL ? words[r->kind] : "?",
              is_bad ? DRAW_BAD : DRAW_STRONG, buf_text(&what), buf_text(&detail), ret);
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
    display_safe(&what, r->trace_id);
    draw_named(&detail, "@", r->agent);
    buf_printf(&detail, "%llu span%s  %llu flow%s  ", (unsigned long long)r->spans,
               r->spans == 1 ? "" : "s", (unsigned long long)r->flows, r->flows == 1 ? "" : "s");
    if (r->dropped > 0)
        buf_printf(&detail, "%llu dropped  ", (unsigned long long)r->dropped);
    if (r->failed > 0)
        buf_printf(&detail, "%llu failed  ", (unsigned long long)r->failed);
    draw_amount(&detail, "↑ ", r->bytes_out);
    draw_amount(&detail, "↓ ", r->bytes_in);
    draw_line(how, r->started_ns, is_bad ? "look" : "ok", is_bad ? DRAW_WARN : DRAW_GOOD,
              buf_text(&what), buf_text(&detail), ret);
    buf_done(&what);
    buf_done(&detail);
}
