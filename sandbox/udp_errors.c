/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error queue is a short list of its own; the alarm is the only thing of it that the kernel
 * knows of.
 */
#include "sandbox/udp_errors.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct udp_error {
    struct udp_error *next;
    struct endpoint to;
    struct dgram_cause cause;
    int32_t error; /* positive errno */
    uint32_t len;
    uint8_t data[];
};

static bool wants_queue(const struct vsock *v)
{
    int32_t on = 0;

    if (vsock_option_get(v, IPPROTO_IP, IP_RECVERR, &on) && on != 0)
        return true;
    return v->is_v6 && vsock_option_get(v, IPPROTO_IPV6, IPV6_RECVERR, &on) && on != 0;
}

static void alarm_set(struct session *s, struct vsock *v)
{
    const struct vsock_note note = {.is_alarm = true};

    if (!v->has_alarm && vsock_note_has_room(s->sockets) &&
        send(v->our_end, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == 0) {
        must(vsock_note_push(s->sockets, v, &note) == 0);
        v->has_alarm = true;
    }
    held_wake(s->held, v, HELD_INPUT);
}

/** Take the alarm out of the agent's queue, when it is the next thing in it and no longer needed.
 */
static void alarm_clear(struct session *s, struct vsock *v, int agent_end)
{
    const struct vsock_note *note = vsock_note_first(s->sockets, v);
    uint8_t none;

    if (!v->has_alarm || v->so_error != 0 || v->errors != NULL || note == NULL || !note->is_alarm ||
        agent_end < 0)
        return;
    if (recv(agent_end, &none, sizeof(none), MSG_DONTWAIT | MSG_PEEK) == 0)
        (void)recv(agent_end, &none, sizeof(none), MSG_DONTWAIT);
    vsock_note_pop(s->sockets, v);
    v->has_alarm = false;
}

static void queue_add(struct vsock *v, const struct endpoint *to, int err, struct bytes payload,
                      const struct dgram_cause *cause)
{
    uint32_t len = payload.len < UDP_ERROR_QUOTED ? (uint32_t)payload.len : UDP_ERROR_QUOTED;
    struct udp_error **last = &v->errors;
    struct udp_error *e;
    unsigned count = 0;

    for (; *last != NULL; last = &(*last)->next)
        count++;
    e = count < UDP_ERRORS_MAX ? malloc(sizeof(*e) + len) : NULL;
    if (e == NULL)
        return; /* as the kernel does when the receive buffer is full */
    *e = (struct udp_error){.to = *to, .cause = *cause, .error = -err, .len = len};
    if (len > 0)
        memcpy(e->data, payload.data, len);
    *last = e;
}

void udp_error_raise_by(struct session *s, struct vsock *v, const struct endpoint *to, int err,
                        struct bytes payload, const struct dgram_cause *cause)
{
    bool is_queued = wants_queue(v);

    bool is_peer =
        v->state == VSOCK_CONNECTED &&
        (v->kind == VSOCK_PING ? ip_equal(&v->remote.ip, &to->ip) : endpoint_equal(&v->remote, to));

    if (!is_queued && !is_peer)
        return; /* udp(7): errors of unconnected sockets are not reported */
    if (is_queued)
        queue_add(v, to, err, payload, cause);
    v->so_error = -err;
    alarm_set(s, v);
}

void udp_error_raise(struct session *s, struct vsock *v, const struct endpoint *to, int err,
                     struct bytes payload)
{
    static const struct dgram_cause unknown = {0};

    udp_error_raise_by(s, v, to, err, payload, &unknown);
}

int udp_error_take(struct session *s, struct vsock *v, int agent_end)
{
    int err = -v->so_error;

    v->so_error = 0;
    alarm_clear(s, v, agent_end);
    return err;
}

void udp_error_put(struct session *s, struct vsock *v, int err)
{
    v->so_error = -err;
    alarm_set(s, v);
}

int udp_error_next(struct session *s, struct vsock *v, int agent_end, uint8_t *ret_data,
                   struct vsock_note *ret)
{
    struct udp_error *e = v->errors;
    int len;

    if (e == NULL)
        return -EAGAIN;
    len = (int)e->len;
    memcpy(ret_data, e->data, e->len);
    *ret = (struct vsock_note){.from = e->to,
                               .error = e->error,
                               .icmp_type = e->cause.type,
                               .icmp_code = e->cause.code,
                               .offender = e->cause.offender,
                               .wall_ns = wall_now_ns()};
    v->errors = e->next;
    free(e);
    v->so_error = v->errors != NULL ? v->errors->error : 0;
    alarm_clear(s, v, agent_end);
    return len;
}

void udp_errors_rearm(struct session *s, struct vsock *v)
{
    v->has_alarm = false;
    if (v->so_error != 0 || v->errors != NULL)
        alarm_set(s, v);
}

void udp_errors_drop(struct vsock *v)
{
    while (v->errors != NULL) {
        struct udp_error *e = v->errors;

        v->errors = e->next;
        free(e);
    }
}
