/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace in memory: spans with their children and flows.
 */
#ifndef AUDIT_TREE_H
#define AUDIT_TREE_H

#include "audit/audit.h"
#include "base/json_out.h"

#define TREE_DEPTH_MAX 64u /* a span deeper than this stands at the top */

struct tree_flow {
    struct audit_flow_row row; /* texts belong to the tree */
    struct tree_flow *next;    /* in the same span, older first */
    bool is_covered;           /* an allowed decision whose flow is here, too */
};

struct tree_node {
    struct audit_span_row row;
    struct tree_node *parent;
    struct tree_node *first_child; /* older first */
    struct tree_node *next;
    struct tree_flow *first_flow;
};

struct tree_chunk;

struct audit_tree {
    struct tree_node *nodes; /* older first */
    size_t node_count;
    struct tree_flow *flows; /* older first */
    size_t flow_count;
    struct tree_node *first_root;
    struct tree_flow
        *first_orphan; /* flows of spans that are not here, when there is no root at all */
    struct tree_chunk *texts;
};

/** The members of a span as audit_span_json() writes them, into the object that is open. */
void audit_span_members(const struct audit_span_row *r, struct json_out *j);

#endif
