/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the tree of a trace from the rows of the projection. Ids come from records that an agent's
 * gateway or an older program may have written, so a parent that is missing, or would close a
 * circle, is not followed: such a span stands at the top.
 */
#include "audit/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u * 1024)
#define JSON_DEPTH  12u /* levels of nested JSON; deeper spans are listed flat at the last */
#define AGENT_COUNT 256u

struct tree_chunk {
    struct tree_chunk *next;
    size_t used;
    char bytes[];
};

struct loader {
    struct audit_tree *t;
    size_t node_cap;
    size_t flow_cap;
};

static const char *keep(struct audit_tree *t, const char *text)
{
    size_t len = text != NULL ? strlen(text) + 1 : 0;
    struct tree_chunk *c = t->texts;
    char *copy;

    if (text == NULL || len > CHUNK_BYTES)
        return NULL;
    if (c == NULL || len > CHUNK_BYTES - c->used) {
        c = malloc(sizeof(*c) + CHUNK_BYTES);
        if (c == NULL)
            return NULL; /* the caller sees a missing id, or shows one text less */
        *c = (struct tree_chunk){.next = t->texts};
        t->texts = c;
    }
    copy = c->bytes + c->used;
    memcpy(copy, text, len);
    c->used += len;
    return copy;
}

/** Room for one more element of @size; doubles. */
static int grow(void **array, size_t count, size_t *cap, size_t size)
{
    size_t more = *cap > 0 ? *cap * 2 : 64;
    void *moved;

    if (count < *cap)
        return 0;
    moved = realloc(*array, more * size);
    if (moved == NULL)
        return -ENOMEM;
    *array = moved;
    *cap = more;
    return 0;
}

static int take_span(void *self, const struct audit_span_row *r)
{
    struct loader *l = self;
    struct audit_tree *t = l->t;
    void *nodes = t->nodes;
    struct tree_node *n;
    int err = grow(&nodes, t->node_count, &l->node_cap, sizeof(*t->nodes));

    if (err < 0)
        return err;
    t->nodes = nodes;
    n = &t->nodes[t->node_count++];
    *n = (struct tree_node){.row = *r};
    n->row.id = keep(t, r->id);
    n->row.kind = keep(t, r->kind);
    n->row.trace_id = keep(t, r->trace_id);
    n->row.span_id = keep(t, r->span_id);
    n->row.parent_span_id = keep(t, r->parent_span_id);
    n->row.agent = keep(t, r->agent);
    n->row.parent = keep(t, r->parent);
    n->row.namespace_id = keep(t, r->namespace_id);
    n->row.tool = keep(t, r->tool);
    n->row.status = keep(t, r->status);
    n->row.error = keep(t, r->error);
    n->row.reason = keep(t, r->reason);
    n->row.rule = keep(t, r->rule);
    n->row.mode = keep(t, r->mode);
    n->row.exe = keep(t, r->exe);
    n->row.arguments = keep(t, r->arguments);
    n->row.detail = keep(t, r->detail);
    return n->row.span_id != NULL && n->row.kind != NULL && n->row.tool != NULL &&
                   n->row.status != NULL && n->row.agent != NULL && n->row.trace_id != NULL
               ? 0
               : -ENOMEM;
}

static int take_flow(void *self, const struct audit_flow_row *r)
{
    struct loader *l = self;
    struct audit_tree *t = l->t;
    void *flows = t->flows;
    struct tree_flow *f;
    int err = grow(&flows, t->flow_count, &l->flow_cap, sizeof(*t->flows));

    if (err < 0)
        return err;
    t->flows = flows;
    f = &t->flows[t->flow_count++];
    *f = (struct tree_flow){.row = *r};
    f->row.id = keep(t, r->id);
    f->row.trace_id = keep(t, r->trace_id);
    f->row.span_id = keep(t, r->span_id);
    f->row.agent = keep(t, r->agent);
    f->row.direction = keep(t, r->direction);
    f->row.protocol = keep(t, r->protocol);
    f->row.src_ip = keep(t, r->src_ip);
    f->row.dst_ip = keep(t, r->dst_ip);
    f->row.name = keep(t, r->name);
    f->row.verdict = keep(t, r->verdict);
    f->row.rule = keep(t, r->rule);
    f->row.reason = keep(t, r->reason);
    f->row.mode = keep(t, r->mode);
    f->row.carrier = keep(t, r->carrier);
    f->row.peer = keep(t, r->peer);
    f->row.error = keep(t, r->error);
    f->row.exe = keep(t, r->exe);
    return f->row.verdict != NULL && f->row.trace_id != NULL ? 0 : -ENOMEM;
}

static int older_span(const void *a, const void *b)
{
    const struct tree_node *x = a;
    const struct tree_node *y = b;

    if (x->row.started_ns != y->row.started_ns)
        return x->row.started_ns < y->row.started_ns ? -1 : 1;
    /* A sandbox and its first program may start in the same tick; the parent comes first. */
    if (x->row.parent_span_id != NULL && strcmp(x->row.parent_span_id, y->row.span_id) == 0)
        return 1;
    if (y->row.parent_span_id != NULL && strcmp(y->row.parent_span_id, x->row.span_id) == 0)
        return -1;
    return strcmp(x->row.span_id, y->row.span_id);
}

static int64_t start_of(const struct audit_flow_row *f)
{
    return f->time_ns - (f->duration_ns > 0 ? f->duration_ns : 0);
}

static int older_flow(const void *a, const void *b)
{
    const struct tree_flow *x = a;
    const struct tree_flow *y = b;

    if (start_of(&x->row) != start_of(&y->row))
        return start_of(&x->row) < start_of(&y->row) ? -1 : 1;
    return y->row.is_decision - x->row.is_decision; /* a decision comes before its flow */
}

static int by_span_id(const void *a, const void *b)
{
    const struct tree_node *const *x = a;
    const struct tree_node *const *y = b;

    return strcmp((*x)->row.span_id, (*y)->row.span_id);
}

static struct tree_node *find_node(struct tree_node **by_id, size_t count, const char *span_id)
{
    const struct tree_node key = {.row = {.span_id = span_id}};
    const struct tree_node *pointer = &key;
    struct tree_node **found;

    if (span_id == NULL || count == 0)
        return NULL;
    found = bsearch(&pointer, by_id, count, sizeof(*by_id), by_span_id);
    return found != NULL ? *found : NULL;
}

static bool may_be_parent(const struct tree_node *parent, const struct tree_node *child)
{
    unsigned depth = 0;

    for (; parent != NULL; parent = parent->parent)
        if (parent == child || ++depth >= TREE_DEPTH_MAX)
            return false;
    return true;
}

static void link_nodes(struct audit_tree *t, struct tree_node **by_id)
{
    for (size_t i = 0; i < t->node_count; i++) {
        struct tree_node *n = &t->nodes[i];
        struct tree_node *parent = find_node(by_id, t->node_count, n->row.parent_span_id);

        if (parent != NULL && may_be_parent(parent, n))
            n->parent = parent;
    }
    for (size_t i = t->node_count; i > 0;
         i--) { /* prepending from the youngest leaves the oldest first */
        struct tree_node *n = &t->nodes[i - 1];
        struct tree_node **list = n->parent != NULL ? &n->parent->first_child : &t->first_root;

        n->next = *list;
        *list = n;
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_same_connection(const struct audit_flow_row *a, const struct audit_flow_row *b)
{
    return a->dst_port == b->dst_port &&
           (a->src_port == b->src_port || a->src_port == 0 || b->src_port == 0) &&
           same_text(a->dst_ip, b->dst_ip) && same_text(a->protocol, b->protocol);
}

/** The call of a tool that was let pass, and has a span of its own. */
static bool is_call_of(const struct audit_flow_row *decision, const struct tree_node *children)
{
    for (; decision->dst_ip == NULL && decision->name != NULL && children != NULL;
         children = children->next)
        if (strcmp(children->row.kind, "tool") == 0 &&
            same_text(children->row.tool, decision->name))
            return true;
    return false;
}

/** An allowed decision needs no line of its own when what it allowed has one. */
static void mark_covered(struct tree_flow *first, const struct tree_node *children)
{
    for (struct tree_flow *d = first; d != NULL; d = d->next) {
        if (!d->row.is_decision || strcmp(d->row.verdict, "allow") != 0)
            continue;
        d->is_covered = is_call_of(&d->row, children);
        for (const struct tree_flow *f = d->next; f != NULL && !d->is_covered; f = f->next)
            d->is_covered = !f->row.is_decision && is_same_connection(&d->row, &f->row);
    }
}

static void link_flows(struct audit_tree *t, struct tree_node **by_id)
{
    for (size_t i = t->flow_count; i > 0; i--) {
        struct tree_flow *f = &t->flows[i - 1];
        struct tree_node *n = find_node(by_id, t->node_count, f->row.span_id);
        struct tree_flow **list;

        if (n == NULL)
            n = t->first_root;
        list = n != NULL ? &n->first_flow : &t->first_orphan;
        f->next = *list;
        *list = f;
    }
    for (size_t i = 0; i < t->node_count; i++)
        mark_covered(t->nodes[i].first_flow, t->nodes[i].first_child);
    mark_covered(t->first_orphan, t->first_root);
}

static int link_tree(struct audit_tree *t)
{
    struct tree_node **by_id = calloc(t->node_count + 1, sizeof(struct tree_node *));

    if (by_id == NULL)
        return -ENOMEM;
    if (t->node_count > 0)
        qsort(t->nodes, t->node_count, sizeof(*t->nodes), older_span);
    if (t->flow_count > 0)
        qsort(t->flows, t->flow_count, sizeof(*t->flows), older_flow);
    for (size_t i = 0; i < t->node_count; i++)
        by_id[i] = &t->nodes[i];
    qsort(by_id, t->node_count, sizeof(struct tree_node *), by_span_id);
    link_nodes(t, by_id);
    link_flows(t, by_id);
    free(by_id);
    return 0;
}

static int finish_tree(struct audit_tree *t, int err, struct audit_tree **ret)
{
    if (err == 0 && t->node_count == 0 && t->flow_count == 0)
        err = -ENOENT;
    if (err == 0)
        err = link_tree(t);
    if (err < 0) {
        audit_tree_free(t);
        return err;
    }
    *ret = t;
    return 0;
}

int audit_tree_load(struct audit_store *s, const char *trace_id, struct audit_tree **ret)
{
    const struct audit_filter f = {.trace_id = trace_id, .limit = AUDIT_ROWS_MAX};
    struct loader l = {.t = calloc(1, sizeof(struct audit_tree))};
    int err;

    if (l.t == NULL)
        return -ENOMEM;
    err = audit_store_spans(s, &f, take_span, &l);
    if (err == 0)
        err = audit_store_flows(s, &f, take_flow, &l);
    return finish_tree(l.t, err, ret);
}

/** Agents below one agent, found by the parents that their spans name. */
struct family {
    char names[AGENT_COUNT][AUDIT_NAME_MAX + 1];
    unsigned count;
};

static int take_child(void *self, const char *agent)
{
    struct family *f = self;

    for (unsigned i = 0; i < f->count; i++)
        if (strcmp(f->names[i], agent) == 0)
            return 0;
    if (f->count == AGENT_COUNT || strlen(agent) > AUDIT_NAME_MAX)
        return 0;
    (void)snprintf(f->names[f->count++], sizeof(f->names[0]), "%s", agent);
    return 0;
}

int audit_tree_load_agent(struct audit_store *s, const char *agent, struct audit_tree **ret)
{
    struct loader l = {.t = calloc(1, sizeof(struct audit_tree))};
    struct family *family = calloc(1, sizeof(*family));
    int err = l.t == NULL || family == NULL ? -ENOMEM : take_child(family, agent);

    for (unsigned i = 0; err == 0 && i < family->count; i++) {
        const struct audit_filter f = {.agent = family->names[i], .limit = AUDIT_ROWS_MAX};

        err = audit_store_spans(s, &f, take_span, &l);
        if (err == 0)
            err = audit_store_flows(s, &f, take_flow, &l);
        if (err == 0)
            err = audit_store_children(s, family->names[i], take_child, family);
    }
    free(family);
    if (l.t == NULL)
        return -ENOMEM;
    return finish_tree(l.t, err, ret);
}

void audit_tree_free(struct audit_tree *t)
{
    if (t == NULL)
        return;
    while (t->texts != NULL) {
        struct tree_chunk *c = t->texts;

        t->texts = c->next;
        free(c);
    }
    free(t->nodes);
    free(t->flows);
    free(t);
}

static void flows_json(const struct tree_flow *first, struct json_out *j)
{
    json_key(j, "flows");
    json_open_array(j);
    for (const struct tree_flow *f = first; f != NULL; f = f->next)
        audit_flow_json(&f->row, j);
    json_close_array(j);
}

static void node_json(const struct tree_node *n, unsigned depth, struct json_out *j);

static void children_json(const struct tree_node *first, unsigned depth, struct json_out *j)
{
    for (const struct tree_node *n = first; n != NULL; n = n->next) {
        node_json(n, depth, j);
        if (depth == JSON_DEPTH)
            children_json(n->first_child, depth, j);
    }
}

static void node_json(const struct tree_node *n, unsigned depth, struct json_out *j)
{
    json_open_object(j);
    audit_span_members(&n->row, j);
    flows_json(n->first_flow, j);
    json_key(j, "children");
    json_open_array(j);
    if (depth < JSON_DEPTH)
        children_json(n->first_child, depth + 1, j);
    json_close_array(j);
    json_close_object(j);
}

void audit_tree_json(const struct audit_tree *t, struct json_out *j)
{
    json_open_object(j);
    json_put_str(j, "traceId",
                 t->node_count > 0 ? t->nodes[0].row.trace_id : t->flows[0].row.trace_id);
    json_key(j, "spans");
    json_open_array(j);
    children_json(t->first_root, 0, j);
    json_close_array(j);
    if (t->first_orphan != NULL)
        flows_json(t->first_orphan, j);
    json_close_object(j);
}
