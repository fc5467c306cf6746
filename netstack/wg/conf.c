/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a wg-quick file as users have it: sections and keys in any case, comments, CRLF, lists with
 * commas, keys that may be repeated. It runs nothing: hooks and what concerns a kernel interface
 * are warned about. Everything that it does not understand is an error with line and column, and no
 * message ever shows the value of a secret.
 *
 * Source: wg(8) "CONFIGURATION FILE FORMAT", wg-quick(8) "CONFIGURATION".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/wipe.h"
#include "netstack/wg/wg_msg.h"

#define PEERS_FIRST       4u
#define ALLOWED_IPS_FIRST 4u
#define HOST_LEN_MAX      253u /* RFC 1035 2.3.4, as text */
#define LABEL_LEN_MAX     63u

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct parser {
    const char *file;
    struct why *why;
    struct wg_conf *conf;
    enum section section;
    unsigned section_line;
    unsigned line;
    const uint8_t *line_start;
    bool has_interface;
    unsigned seen; /* bit i: keys[i] was in this section */
    unsigned peer_cap;
    unsigned allowed_ip_cap; /* of the last peer */
};

struct key {
    const char *name;
    enum section section;
    bool may_repeat;
    int (*take)(struct parser *p, struct bytes value);
};

static struct wg_peer_conf *last_peer(struct parser *p)
{
    return &p->conf->peers[p->conf->peer_count - 1];
}

/** Say where: @at points into the line. */
static int fault_at(struct parser *p, const uint8_t *at, int err)
{
    why_at(p->why, p->file, p->line, (unsigned)(at - p->line_start) + 1);
    return err;
}

static int no_memory(struct parser *p)
{
    return why_set(p->why, -ENOMEM, "out of memory");
}

/** Foreign text for a message, cut when it is long. */
#define SHOWN(b) (int)((b).len < 60 ? (b).len : 60), (const char *)(b).data

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct bytes trimmed(struct bytes t)
{
    while (t.len > 0 && is_blank(t.data[0]))
        t = bytes_of(t.data + 1, t.len - 1);
    while (t.len > 0 && is_blank(t.data[t.len - 1]))
        t.len--;
    return t;
}

static bool is_word(struct bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/** Cut what stands before the next @mark (or all) off the front of @rest. */
static struct bytes cut(struct bytes *rest, uint8_t mark)
{
    const uint8_t *at = rest->len > 0 ? memchr(rest->data, mark, rest->len) : NULL;
    size_t len = at != NULL ? (size_t)(at - rest->data) : rest->len;
    struct bytes front = bytes_of(rest->data, len);

    if (at != NULL)
        len++;
    *rest = bytes_of(rest->data + len, rest->len - len);
    return front;
}

static void warn(struct parser *p, const char *text, struct bytes about)
{
    struct wg_conf *c = p->conf;
    unsigned last = ARRAY_COUNT(c->warnings) - 1;

    if (c->warning_count < last)
        (void)snprintf(c->warnings[c->warning_count++], sizeof(c->warnings[0]), "%s:%u: %.*s %s",
                       p->file, p->line, SHOWN(about), text);
    else if (c->warning_count == last)
        (void)snprintf(c->warnings[c->warning_count++], sizeof(c->warnings[0]),
                       "%s:%u: and more lines that have no effect here", p->file, p->line);
}

/* Values. Each function takes one item of one key, already trimmed. */

static int take_secret(struct parser *p, struct bytes value, const char *what,
                       uint8_t ret[static WG_KEY_LEN])
{
    if (wg_key_parse(value, ret) < 0)
        return why_set(p->why, -EINVAL,
                       "expected a %s key: 44 characters of base64, the last one =", what);
    return 0;
}

static int take_private_key(struct parser *p, struct bytes value)
{
    return take_secret(p, value, "private", p->conf->private_key);
}

static int take_public_key(struct parser *p, struct bytes value)
{
    return take_secret(p, value, "public", last_peer(p)->public_key);
}

static int take_preshared_key(struct parser *p, struct bytes value)
{
    return take_secret(p, value, "preshared", last_peer(p)->preshared_key);
}

static int take_address(struct parser *p, struct bytes value)
{
    struct wg_conf *c = p->conf;

    if (c->address_count == WG_ADDRESSES_MAX)
        return why_set(p->why, -EINVAL, "more than %u addresses", WG_ADDRESSES_MAX);
    if (prefix_parse(value, /*host_bits=*/true, &c->addresses[c->address_count]) < 0)
        return why_set(p->why, -EINVAL, "%.*s: expected an address like 10.0.0.2/32 or fd00::2/128",
                       SHOWN(value));
    c->address_count++;
    return 0;
}

/** Letters, digits, hyphens and underscores between dots; the last label is not a number, so that
 * no misspelt address passes for a name. */
static bool is_host_name(struct bytes host)
{
    size_t label_len = 0;
    bool has_letter = false; /* in this label */

    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > HOST_LEN_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';

        if (c == '.') {
            if (label_len == 0)
                return false;
            label_len = 0;
            has_letter = false;
            continue;
        }
        if ((!letter && (c < '0' || c > '9')) || ++label_len > LABEL_LEN_MAX)
            return false;
        has_letter = has_letter || letter;
    }
    return label_len > 0 && has_letter;
}

static int take_dns(struct parser *p, struct bytes value)
{
    struct wg_conf *c = p->conf;
    struct ip ip;

    if (ip_parse(value, &ip) == 0) {
        if (c->dns_count == WG_DNS_MAX)
            return why_set(p->why, -EINVAL, "more than %u DNS servers", WG_DNS_MAX);
        c->dns[c->dns_count++] = ip;
        return 0;
    }
    if (!is_host_name(value))
        return why_set(p->why, -EINVAL,
                       "%.*s: expected the address of a DNS server or a search domain",
                       SHOWN(value));
    if (c->dns_search[0] != '\0')
        warn(p, "is not used: only the first search domain is", value);
    else
        (void)snprintf(c->dns_search, sizeof(c->dns_search), "%.*s", (int)value.len,
                       (const char *)value.data);
    return 0;
}

static int take_mtu(struct parser *p, struct bytes value)
{
    uint16_t mtu;

    if (port_parse(value, &mtu) < 0 || mtu < WG_MTU_MIN || mtu > WG_INNER_MAX)
        return why_set(p->why, -EINVAL, "%.*s: expected an MTU of %u to %u bytes", SHOWN(value),
                       WG_MTU_MIN, WG_INNER_MAX);
    p->conf->mtu = mtu;
    return 0;
}

static int take_listen_port(struct parser *p, struct bytes value)
{
    if (port_parse(value, &p->conf->listen_port) < 0)
        return why_set(p->why, -EINVAL, "%.*s: expected a port, 0 to 65535", SHOWN(value));
    return 0;
}

static int take_nothing(struct parser *p, struct bytes value)
{
    (void)p; /* warned about by whoever calls */
    (void)value;
    return 0;
}

/** As wg(8) does, bits behind the prefix are cut off rather than refused. */
static void mask(struct prefix *prefix)
{
    for (unsigned bit = prefix->bits; bit < ip_len(&prefix->ip) * 8; bit++)
        prefix->ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

static int take_allowed_ip(struct parser *p, struct bytes value)
{
    struct wg_peer_conf *peer = last_peer(p);
    struct prefix prefix;

    if (prefix_parse(value, /*host_bits=*/true, &prefix) < 0)
        return why_set(p->why, -EINVAL, "%.*s: expected a prefix like 10.0.0.0/8, ::/0 or 10.0.0.2",
                       SHOWN(value));
    if (peer->allowed_ip_count == WG_ALLOWED_IPS_MAX)
        return why_set(p->why, -EINVAL, "more than %u allowed IPs of one peer", WG_ALLOWED_IPS_MAX);
    if (peer->allowed_ip_count == p->allowed_ip_cap) {
        unsigned cap = p->allowed_ip_cap > 0 ? p->allowed_ip_cap * 2 : ALLOWED_IPS_FIRST;
        struct prefix *more = realloc(peer->allowed_ips, cap * sizeof(*more));

        if (more == NULL)
            return no_memory(p);
        peer->allowed_ips = more;
        p->allowed_ip_cap = cap;
    }
    mask(&prefix);
    peer->allowed_ips[peer->allowed_ip_count++] = prefix;
    return 0;
}

static int take_endpoint(struct parser *p, struct bytes value)
{
    struct wg_peer_conf *peer = last_peer(p);
    struct bytes port = value;
    struct bytes host = cut(&port, ':');

    if (endpoint_parse(value, &peer->endpoint) == 0) {
        peer->has_endpoint = true;
        peer->endpoint_port = peer->endpoint.port;
        return 0;
    }
    if (!is_host_name(host) || port_parse(port, &peer->endpoint_port) < 0 ||
        peer->endpoint_port == 0)
        return why_set(p->why, -EINVAL,
                       "%.*s: expected 192.0.2.1:51820, [2001:db8::1]:51820 or name:51820",
                       SHOWN(value));
    (void)snprintf(peer->endpoint_host, sizeof(peer->endpoint_host), "%.*s", (int)host.len,
                   (const char *)host.data);
    return 0;
}

static int take_keepalive(struct parser *p, struct bytes value)
{
    uint16_t *keepalive_s = &last_peer(p)->keepalive_s;

    *keepalive_s = 0;
    if (!is_word(value, "off") && port_parse(value, keepalive_s) < 0)
        return why_set(p->why, -EINVAL, "%.*s: expected seconds, 1 to 65535, or off", SHOWN(value));
    return 0;
}

/* Keys whose take() is take_nothing() are warned about. Those that take lists may be repeated. */
static const struct key keys[] = {
    {"PrivateKey", SECTION_INTERFACE, false, take_private_key},
    {"ListenPort", SECTION_INTERFACE, false, take_listen_port},
    {"Address", SECTION_INTERFACE, true, take_address},
    {"DNS", SECTION_INTERFACE, true, take_dns},
    {"MTU", SECTION_INTERFACE, false, take_mtu},
    {"FwMark", SECTION_INTERFACE, false, take_nothing},
    {"Table", SECTION_INTERFACE, false, take_nothing},
    {"SaveConfig", SECTION_INTERFACE, false, take_nothing},
    {"PreUp", SECTION_INTERFACE, true, take_nothing},
    {"PostUp", SECTION_INTERFACE, true, take_nothing},
    {"PreDown", SECTION_INTERFACE, true, take_nothing},
    {"PostDown", SECTION_INTERFACE, true, take_nothing},
    {"PublicKey", SECTION_PEER, false, take_public_key},
    {"PresharedKey", SECTION_PEER, false, take_preshared_key},
    {"AllowedIPs", SECTION_PEER, true, take_allowed_ip},
    {"Endpoint", SECTION_PEER, false, take_endpoint},
    {"PersistentKeepalive", SECTION_PEER, false, take_keepalive},
};
_Static_assert(ARRAY_COUNT(keys) <= 32, "one bit each in parser.seen");

static bool is_seen(const struct parser *p, const char *name)
{
    unsigned i = 0;

    while (strcmp(keys[i].name, name) != 0)
        must(++i < ARRAY_COUNT(keys)); /* a name from the table */
    return (p->seen >> i & 1u) != 0;
}

/** What must stand in a section did? Called when the next one begins, and at the end. */
static int section_end(struct parser *p)
{
    const char *missing = NULL;

    if (p->section == SECTION_INTERFACE && !is_seen(p, "PrivateKey"))
        missing = "PrivateKey";
    if (p->section == SECTION_PEER && !is_seen(p, "PublicKey"))
        missing = "PublicKey";
    if (missing == NULL)
        return 0;
    (void)why_set(p->why, -EINVAL, "this section has no %s", missing);
    why_at(p->why, p->file, p->section_line, 1);
    return -EINVAL;
}

/** One more peer. The array is not moved by realloc(), which would leave preshared keys behind. */
static int peer_begin(struct parser *p)
{
    struct wg_conf *c = p->conf;
    struct wg_peer_conf *more;

    if (c->peer_count == WG_PEERS_MAX)
        return why_set(p->why, -EINVAL, "more than %u peers", WG_PEERS_MAX);
    p->allowed_ip_cap = 0;
    if (c->peer_count == p->peer_cap) {
        unsigned cap = p->peer_cap > 0 ? p->peer_cap * 2 : PEERS_FIRST;

        more = calloc(cap, sizeof(*more));
        if (more == NULL)
            return no_memory(p);
        if (c->peer_count > 0) {
            memcpy(more, c->peers, c->peer_count * sizeof(*more));
            wipe(c->peers, c->peer_count * sizeof(*more));
        }
        free(c->peers);
        c->peers = more;
        p->peer_cap = cap;
    }
    c->peer_count++;
    return 0;
}

static int parse_section(struct parser *p, struct bytes text)
{
    int err = section_end(p);

    if (err < 0)
        return err;
    p->seen = 0;
    p->section_line = p->line;
    if (is_word(text, "[Interface]")) {
        if (p->has_interface)
            return fault_at(p, text.data, why_set(p->why, -EINVAL, "a second [Interface] section"));
        p->has_interface = true;
        p->section = SECTION_INTERFACE;
        return 0;
    }
    if (is_word(text, "[Peer]")) {
        p->section = SECTION_PEER;
        err = peer_begin(p);
        return err < 0 ? fault_at(p, text.data, err) : 0;
    }
    return fault_at(p, text.data,
                    why_set(p->why, -EINVAL, "%.*s: expected [Interface] or [Peer]", SHOWN(text)));
}

/** "A, B, C": the keys that this section may have. */
static void keys_print(enum section section, char *ret, size_t cap)
{
    size_t len = 0;

    ret[0] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(keys) && len < cap; i++)
        if (keys[i].section == section)
            len +=
                (size_t)snprintf(ret + len, cap - len, "%s%s", len > 0 ? ", " : "", keys[i].name);
}

static int unknown_key(struct parser *p, struct bytes name)
{
    const char *section = p->section == SECTION_PEER ? "[Peer]" : "[Interface]";
    char known[256];

    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++)
        if (is_word(name, keys[i].name))
            return why_set(p->why, -EINVAL, "%s does not belong into %s", keys[i].name, section);
    keys_print(p->section, known, sizeof(known));
    return why_set(p->why, -EINVAL, "unknown key %.*s in %s; expected one of %s", SHOWN(name),
                   section, known);
}

/** The value of one key: one item, or a list with commas where the key may be repeated. */
static int parse_value(struct parser *p, const struct key *key, struct bytes value)
{
    bool is_list = key->may_repeat && key->take != take_nothing;

    do {
        struct bytes item = trimmed(is_list ? cut(&value, ',') : value);
        int err;

        if (item.len == 0 && is_list && key->take == take_allowed_ip && value.len == 0)
            return 0; /* wg(8) allows a peer without any */
        err = key->take(p, item);
        if (err < 0)
            return fault_at(p, item.data, err);
    } while (is_list && value.len > 0);
    return 0;
}

static int parse_key(struct parser *p, struct bytes line)
{
    const struct key *key = NULL;
    struct bytes value = line;
    struct bytes name = trimmed(cut(&value, '='));
    unsigned i = 0;

    if (value.data == line.data + line.len && line.data[line.len - 1] != '=')
        return fault_at(p, line.data,
                        why_set(p->why, -EINVAL, "expected Key = Value, [Interface] or [Peer]"));
    if (p->section == SECTION_NONE)
        return fault_at(
            p, line.data,
            why_set(p->why, -EINVAL, "expected [Interface] or [Peer] before the first key"));
    for (i = 0; i < ARRAY_COUNT(keys) && key == NULL; i++)
        if (keys[i].section == p->section && is_word(name, keys[i].name))
            key = &keys[i];
    if (key == NULL)
        return fault_at(p, name.data, unknown_key(p, name));
    if (!key->may_repeat && (p->seen >> (i - 1) & 1u) != 0)
        return fault_at(p, name.data, why_set(p->why, -EINVAL, "%s is there twice", key->name));
    p->seen |= 1u << (i - 1);
    if (key->take == take_nothing)
        warn(p, "has no effect here, and is never run", bytes_of_str(key->name));
    return parse_value(p, key, value);
}

static int parse_line(struct parser *p, struct bytes line)
{
    const uint8_t *nul = line.len > 0 ? memchr(line.data, '\0', line.len) : NULL;

    if (nul != NULL)
        return fault_at(p, nul, why_set(p->why, -EINVAL, "a zero byte: this is not a text file"));
    line = trimmed(cut(&line, '#'));
    if (line.len == 0)
        return 0;
    return line.data[0] == '[' ? parse_section(p, line) : parse_key(p, line);
}

static int parse_all(struct parser *p, struct bytes text)
{
    static const uint8_t byte_order_mark[] = {0xef, 0xbb, 0xbf}; /* some editors put it there */
    int err;

    if (text.len >= 3 && memcmp(text.data, byte_order_mark, sizeof(byte_order_mark)) == 0)
        text = bytes_of(text.data + 3, text.len - 3);
    while (text.len > 0) {
        struct bytes line = cut(&text, '\n');

        p->line++;
        p->line_start = line.data;
        err = parse_line(p, line);
        if (err < 0)
            return err;
    }
    err = section_end(p);
    if (err == 0 && !p->has_interface) {
        err = why_set(p->why, -EINVAL, "there is no [Interface] section");
        why_at(p->why, p->file, p->line > 0 ? p->line : 1, 1);
    }
    return err;
}

int wg_conf_parse(const char *file, struct bytes text, struct wg_conf *ret, struct why *why)
{
    struct parser p = {.file = file, .why = why, .conf = ret};
    int err;

    *ret = (struct wg_conf){0};
    err = parse_all(&p, text);
    if (err < 0)
        wg_conf_done(ret);
    return err;
}

/** The file holds a private key: whoever else may read it can be us. */
static void warn_of_readers(const char *path, struct wg_conf *conf)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) == 0 ||
        conf->warning_count == ARRAY_COUNT(conf->warnings))
        return;
    (void)snprintf(conf->warnings[conf->warning_count++], sizeof(conf->warnings[0]),
                   "%.100s is accessible to others (mode %04o)", path, st.st_mode & 07777u);
}

int wg_conf_load(const char *path, struct wg_conf *ret, struct why *why)
{
    struct buf text;
    int err;

    *ret = (struct wg_conf){0};
    buf_init(&text, WG_CONF_FILE_MAX);
    if (buf_reserve(&text, WG_CONF_FILE_MAX) ==
        NULL) { /* never moved: no copy of a key stays behind */
        buf_done(&text);
        return why_set(why, -ENOMEM, "out of memory");
    }
    err = io_read_file(path, &text, why);
    if (err == 0)
        err = wg_conf_parse(path, buf_bytes(&text), ret, why);
    if (err == 0)
        warn_of_readers(path, ret);
    wipe(text.data, text.len);
    buf_done(&text);
    return err;
}

void wg_conf_done(struct wg_conf *conf)
{
    for (unsigned i = 0; i < conf->peer_count; i++)
        free(conf->peers[i].allowed_ips);
    if (conf->peer_count > 0)
        wipe(conf->peers, conf->peer_count * sizeof(*conf->peers));
    free(conf->peers);
    wipe(conf, sizeof(*conf));
}
