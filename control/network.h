/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the control room: network policies, announced peers, plans, approvals, and the history
 * of it all. Documents go to and fro as JSON text, made by the statements that read them.
 */
#ifndef CONTROL_NETWORK_H
#define CONTROL_NETWORK_H

#include "base/json.h"
#include "control/call.h"
#include "policy/toolset.h"

#define NETWORK_POLICIES_MAX 256   /* of one namespace */
#define NETWORK_PEERS_MAX    10000 /* announced ones of one namespace, and rows of any answer */
#define HISTORY_NOW          INT64_MAX

#define PLAN_LIFE_S     600
#define APPROVAL_LIFE_S 3600
#define APPROVALS_MAX   100 /* that wait, of one namespace */
#define ID_CAP          24u

/* What the network was and is (store_network.c). Each writer appends elements of an array. */
int store_policies_write(struct store *s, const char *ns, struct json_out *j) MUST_USE;
int store_peers_write(struct store *s, const char *ns, struct json_out *j) MUST_USE;
int store_history_list(struct store *s, const char *ns, int64_t from_s, int64_t to_s,
                       const char *trigger, struct json_out *j) MUST_USE;
/** store_history_time() - When change @seq happened; -ENOENT: not in this namespace. */
int64_t store_history_time(struct store *s, const char *ns, int64_t seq);
/** store_state_write() - All subjects of @kind ("peer", "policy") as they were at change @seq. */
int store_state_write(struct store *s, const char *ns, const char *kind, int64_t seq,
                      struct json_out *j) MUST_USE;
/** store_state_get() - One of them; the document is the caller's. Errors: -ENOENT. */
int store_state_get(struct store *s, const char *ns, const char *kind, const char *name,
                    int64_t seq, struct json_doc **ret) MUST_USE;
int store_state_diff(struct store *s, const char *ns, int64_t from_seq, int64_t to_seq,
                     struct json_out *j) MUST_USE;
/** store_policy_add() - Errors: -EEXIST; -ENOSPC; -EIO. */
int store_policy_add(struct store *s, const char *ns, const char *name, const char *network,
                     const char *action, const char *labels, int64_t now_s) MUST_USE;
/** store_policy_remove() - Errors: -ENOENT. */
int store_policy_remove(struct store *s, const char *ns, const char *name) MUST_USE;
/** store_policy_each() - Call @row with network and action for each policy that selects the peer.
 */
int store_policy_each(struct store *s, const char *ns, const char *peer,
                      void (*row)(void *self, const char *network, bool is_allow),
                      void *self) MUST_USE;

struct announced_peer {
    const char *ns, *name, *network, *app_id, *platform;
    const char *labels; /* JSON object */
};
/** store_peer_announce() - Errors: -EEXIST; -ENOSPC; -EIO. */
int store_peer_announce(struct store *s, const struct announced_peer *p, int64_t now_s) MUST_USE;
/** store_peer_forget() - 1: it was announced; 0: it was not. */
int store_peer_forget(struct store *s, const char *ns, const char *name) MUST_USE;

int store_plan_add(struct store *s, const char *ns, const char *id, const char *changes,
                   int64_t now_s) MUST_USE;
/** store_plan_get() - The changes of a plan that lives. Errors: -ENOENT; -ETIME; -EALREADY. */
int store_plan_get(struct store *s, const char *ns, const char *id, int64_t now_s,
                   struct json_doc **ret) MUST_USE;
int store_plan_use(struct store *s, const char *ns, const char *id) MUST_USE;

/* Approvals (store_approvals.c). */
struct store_approval {
    char id[ID_CAP];
    char ns[IDENTITY_NAME_MAX + 1];
    char tool[IDENTITY_TOOL_MAX + 1];
    char state[12];
    char requested_by[2 * IDENTITY_NAME_MAX + 8];
    int64_t expires_s;
    struct json_doc *arguments; /* owned */
    struct json_doc *result;    /* owned; NULL: none yet */
    char error[CALL_DETAIL_MAX];
    bool is_delivered; /* its outcome was told to the one who asked */
};
void store_approval_done(struct store_approval *a);

/** store_approval_ask() - Find the approval that the same caller waits for, or whose outcome it was
 * not told yet, for exactly this call; else make one. @id: for a new one. Errors: -ENOSPC too many
 * wait; -EIO. */
int store_approval_ask(struct store *s, const struct store_approval *a, const char *arguments,
                       const uint8_t hash[static HASH_LEN], int64_t now_s,
                       struct store_approval *ret) MUST_USE;
int store_approval_get(struct store *s, const char *id, struct store_approval *ret) MUST_USE;
/** store_approval_decide() - Move one that waits and has not expired to @state: exactly one caller
 * wins. Errors: -ENOENT; -EALREADY it was decided; -ETIME it expired. */
int store_approval_decide(struct store *s, const char *id, const char *state, const char *by,
                          const char *via, int64_t now_s) MUST_USE;
int store_approval_outcome(struct store *s, const char *id, const char *state, const char *result,
                           const char *error) MUST_USE;
int store_approval_deliver(struct store *s, const char *id) MUST_USE;
int store_approval_expire(struct store *s, int64_t now_s) MUST_USE;
/** store_approval_list() - Newest first, behind row number @after (0: the newest). @ret_last: of
 * the last row. Returns how many rows, or -EIO. */
int store_approval_list(struct store *s, const char *state, int64_t after, unsigned limit,
                        struct json_out *j, int64_t *ret_last) MUST_USE;
int store_approval_write(struct store *s, const char *id, struct json_out *j) MUST_USE;

/* The tools themselves. Each writes one JSON value to call->j and returns 0, or says with
 * call_fail() what is wrong and returns -errno. */
int network_run(struct call *call, const char *tool, const char *ns, const struct json *args);
/** network_rules() - Add to the peer's destinations what the policies that select it say. */
void network_rules(struct control *c, struct identity *id);
/** network_exists() - Is there a network of this name? */
bool network_exists(const char *name);

/** connectivity_write() - Judge @from → @to by the rules at change @seq (connectivity.c). */
int connectivity_write(struct call *call, const char *ns, int64_t seq, const char *from,
                       const char *to);
/** network_rule_add() - The rules of one policy, as rule texts. */
int network_rule_add(struct nameset *to, const char *network, bool is_allow) MUST_USE;

/** intent_parse() - Statements to changes, [{"tool":…,"arguments":{…}}]. Errors: -EINVAL, @why. */
int intent_parse(const char *text, struct json_out *j, struct why *why) MUST_USE;

/** toolbox_run() - Carry a tool call out, or put it before a person: then *@ret_pending is set and
 * the approval was written. */
int toolbox_run(struct call *call, const struct tool_spec *tool, const char *ns,
                const struct json *args, bool *ret_pending);

#endif
