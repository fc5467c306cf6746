/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway's own file and endpoint. The file is an ordinary wg-quick configuration without peers,
 * so that it can be looked at and kept as one; it is made once, and never changed.
 */
#include "cmd/gateway_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/rng.h"
#include "base/wipe.h"

#define DNS_PORT        53
#define RESOLV_CONF_MAX 65536u

static int make_conf(const char *path, struct why *why)
{
    uint8_t private_key[WG_KEY_LEN];
    char key[WG_KEY_TEXT_CAP], text[256];
    auto_fd fd = -1;
    int err, len;

    wg_key_generate(rng_system(), private_key);
    wg_key_print(private_key, key);
    len = snprintf(text, sizeof(text), "[Interface]\nPrivateKey = %s\nAddress = %s/%u\n", key,
                   ENROLL_GATEWAY_IP, ENROLL_POOL_BITS);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    err = fd < 0 ? -errno : io_write_all(fd, text, (size_t)len);
    if (err == 0 && fsync(fd) < 0)
        err = -errno;
    wipe(private_key, sizeof(private_key));
    wipe(key, sizeof(key));
    wipe(text, sizeof(text));
    return err < 0 ? why_set(why, err, "cannot make %s: %s", path, strerror(-err)) : 0;
}

int gateway_conf_own(struct wg_conf *ret, struct why *why)
{
    char dir[ENROLL_PATH_CAP], path[ENROLL_PATH_CAP + 16];
    int err = enroll_config_dir(dir, sizeof(dir), why);

    if (err < 0)
        return err;
    (void)snprintf(path, sizeof(path), "%s/gateway.conf", dir);
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        err = io_mkdirs(dir);
        if (err < 0)
            return why_set(why, err, "cannot make %s: %s", dir, strerror(-err));
        err = make_conf(path, why);
        if (err < 0)
            return err;
    }
    return wg_conf_load(path, ret, why);
}

/** The host of http://HOST[:PORT]/… or https://…, without brackets. */
static int url_host(const char *url, char *ret, size_t cap, struct why *why)
{
    const char *host = strstr(url, "://");
    size_t len;

    host = host != NULL ? host + 3 : url;
    if (host[0] == '[') {
        host++;
        len = strcspn(host, "]");
    } else {
        len = strcspn(host, ":/?#");
    }
    if (len == 0 || len >= cap)
        return why_set(why, -EINVAL, "%s: expected http://HOST or https://HOST", url);
    memcpy(ret, host, len);
    ret[len] = '\0';
    return 0;
}

/** Our address on the way to @to; nothing is sent. */
static int address_toward(const struct addrinfo *to, struct ip *ret)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    struct endpoint at;
    auto_fd fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &len) < 0)
        return -errno;
    if (endpoint_from_sockaddr(bytes_of(&own, len), &at) < 0)
        return -EAFNOSUPPORT;
    *ret = at.ip;
    return 0;
}

static int find_address(const struct enroll_server *server, struct ip *ret, struct why *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    char host[256];
    int err = url_host(server->url, host, sizeof(host), why);

    if (err < 0)
        return err;
    if (getaddrinfo(host, "9", &hints, &found) != 0) /* any port: nothing is sent */
        return why_set(why, -EHOSTUNREACH, "%s cannot be resolved; give --endpoint", host);
    err = address_toward(found, ret);
    freeaddrinfo(found);
    return err < 0 ? why_set(why, err, "no way to %s (%s); give --endpoint", host, strerror(-err))
                   : 0;
}

int gateway_endpoint(const struct enroll_server *server, const char *said, uint16_t port,
                     struct endpoint *ret, struct why *why)
{
    if (said == NULL) {
        ret->port = port;
        return find_address(server, &ret->ip, why);
    }
    if (endpoint_parse(bytes_of_str(said), ret) == 0 && ret->port != 0)
        return 0;
    ret->port = port;
    if (ip_parse(bytes_of_str(said), &ret->ip) == 0)
        return 0;
    return why_set(why, -EINVAL, "--endpoint %s: expected ADDRESS or ADDRESS:PORT", said);
}

bool gateway_dns_parse(const char *text, struct endpoint *ret)
{
    if (endpoint_parse(bytes_of_str(text), ret) == 0 && ret->port != 0)
        return true;
    ret->port = DNS_PORT;
    return ip_parse(bytes_of_str(text), &ret->ip) == 0;
}

unsigned gateway_dns_of_host(struct endpoint ret[static GATEWAY_DNS_MAX])
{
    unsigned count = 0;
    char *line, *rest;
    struct buf text;

    buf_init(&text, RESOLV_CONF_MAX);
    if (io_read_file("/etc/resolv.conf", &text, NULL) == 0 && buf_text(&text)[0] != '\0') {
        rest = (char *)text.data;
        while (count < GATEWAY_DNS_MAX && (line = strsep(&rest, "\n")) != NULL) {
            char *word = strsep(&line, " \t");

            if (line == NULL || strcmp(word, "nameserver") != 0)
                continue;
            line += strspn(line, " \t");
            line[strcspn(line, " \t#;")] = '\0';
            count += gateway_dns_parse(line, &ret[count]);
        }
    }
    buf_done(&text);
    return count;
}
