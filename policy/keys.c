/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The P-256 keys that sign tokens: made, stored, loaded, published. A key's name is its thumbprint,
 * so the same key has the same name after a restart, and a key id is never a path or a query. It
 * refuses key files that others can read, curves other than P-256, and key ids of other characters.
 */
#include "policy/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/io.h"
#include "base/json_out.h"
#include "base/own.h"
#include "base/wipe.h"

#define PEM_MAX      4096u /* a P-256 key is about 240 bytes */
#define KEY_PATH_CAP 1024u
#define COORD_LEN    32u /* bytes of x or y */
#define COORD_TEXT   44u /* base64url of that, with room for a NUL */

struct key {
    char id[KEY_ID_LEN + 1];
    char x[COORD_TEXT], y[COORD_TEXT];
    struct buf private_pem; /* empty: verifies only */
    struct buf public_pem;
};

struct keyring {
    struct key keys[KEYRING_MAX]; /* the first one signs */
    unsigned count;
};

static void key_done(struct key *k)
{
    if (k->private_pem.data != NULL)
        wipe(k->private_pem.data, k->private_pem.cap);
    buf_done(&k->private_pem);
    buf_done(&k->public_pem);
}

void keyring_free(struct keyring *k)
{
    if (k == NULL)
        return;
    for (unsigned i = 0; i < KEYRING_MAX; i++)
        key_done(&k->keys[i]);
    free(k);
}

/** Copy what a memory BIO holds. */
static int bio_to_buf(BIO *bio, struct buf *ret)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);

    if (len <= 0)
        return -EIO;
    buf_add(ret, data, (size_t)len);
    return buf_error(ret);
}

static int write_pem(EVP_PKEY *pkey, bool is_private, struct buf *ret)
{
    BIO *bio = BIO_new(is_private ? BIO_s_secmem() : BIO_s_mem());
    int err = -EIO;

    if (bio == NULL)
        return -ENOMEM;
    if ((is_private ? PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                    : PEM_write_bio_PUBKEY(bio, pkey)) == 1)
        err = bio_to_buf(bio, ret);
    (void)BIO_free(bio);
    return err;
}

/** One coordinate of the public point, fixed width, as base64url (RFC 7518 6.2.1.2). */
static int coordinate(EVP_PKEY *pkey, const char *name, char ret[static COORD_TEXT])
{
    BIGNUM *n = NULL;
    uint8_t raw[COORD_LEN];
    struct buf text;
    int err = -EINVAL;

    if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1)
        return -EINVAL;
    buf_init(&text, COORD_TEXT);
    if (BN_bn2binpad(n, raw, (int)sizeof(raw)) == (int)sizeof(raw)) {
        base64url_write(bytes_of(raw, sizeof(raw)), &text);
        (void)snprintf(ret, COORD_TEXT, "%s", buf_text(&text));
        err = buf_error(&text);
    }
    buf_done(&text);
    BN_free(n);
    return err;
}

/** RFC 7638 3: hash of the required members, in this order, without blanks. */
static int thumbprint(struct key *k)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char json[256];
    struct buf text;
    int len = snprintf(json, sizeof(json),
                       "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", k->x, k->y);

    must(len > 0 && len < (int)sizeof(json));
    if (EVP_Q_digest(NULL, "SHA256", NULL, json, (size_t)len, hash, NULL) != 1)
        return -EIO;
    buf_init(&text, sizeof(k->id));
    base64url_write(bytes_of(hash, sizeof(hash)), &text);
    (void)snprintf(k->id, sizeof(k->id), "%s", buf_text(&text));
    buf_done(&text);
    return strlen(k->id) == KEY_ID_LEN ? 0 : -EIO;
}

static bool is_p256(EVP_PKEY *pkey)
{
    char group[32];

    return EVP_PKEY_is_a(pkey, "EC") == 1 &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static int key_from_pkey(EVP_PKEY *pkey, struct key *k)
{
    int err;

    if (!is_p256(pkey))
        return -EINVAL;
    buf_init(&k->private_pem, PEM_MAX);
    buf_init(&k->public_pem, PEM_MAX);
    err = coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, k->x);
    if (err == 0)
        err = coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, k->y);
    if (err == 0)
        err = thumbprint(k);
    if (err == 0)
        err = write_pem(pkey, /*is_private=*/true, &k->private_pem);
    return err < 0 ? err : write_pem(pkey, /*is_private=*/false, &k->public_pem);
}

/** Write a new file and its directory entry durably; never over an existing file. */
static int write_new_file(const char *path, struct bytes content, struct why *why)
{
    auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err;

    if (fd < 0)
        return why_set(why, -errno, "cannot create %s: %s", path, strerror(errno));
    err = io_write_all(fd, content.data, content.len);
    if (err == 0 && fsync(fd) < 0)
        err = -errno;
    return err < 0 ? why_set(why, err, "cannot write %s: %s", path, strerror(-err)) : 0;
}

/** Make a key in @path. */
static int make_key_file(const char *path, struct why *why)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    struct buf pem;
    int err;

    if (pkey == NULL)
        return why_set(why, -EIO, "cannot make a signing key: OpenSSL refused");
    buf_init(&pem, PEM_MAX);
    err = write_pem(pkey, /*is_private=*/true, &pem);
    EVP_PKEY_free(pkey);
    if (err == 0)
        err = write_new_file(path, buf_bytes(&pem), why);
    else
        (void)why_set(why, err, "cannot encode the signing key");
    if (pem.data != NULL)
        wipe(pem.data, pem.cap);
    buf_done(&pem);
    return err;
}

/** Only the owner may be able to open the file. */
static int check_private(const char *path, struct why *why)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return why_set(why, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return why_set(why, -EACCES, "%s must be a regular file of the user who runs this", path);
    if ((st.st_mode & 077) != 0)
        return why_set(why, -EACCES, "%s can be read by others; run: chmod 600 %s", path, path);
    return 0;
}

static int load_key(const char *path, struct key *ret, struct why *why)
{
    struct buf pem;
    BIO *bio = NULL;
    EVP_PKEY *pkey = NULL;
    int err = check_private(path, why);

    if (err < 0)
        return err;
    buf_init(&pem, PEM_MAX);
    err = io_read_file(path, &pem, why);
    if (err < 0)
        goto out;
    bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio != NULL)
        pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    err = pkey != NULL ? key_from_pkey(pkey, ret) : -EINVAL;
    if (err < 0)
        (void)why_set(why, err, "%s is not an unencrypted P-256 private key in PEM form", path);
out:
    EVP_PKEY_free(pkey);
    (void)BIO_free(bio);
    if (pem.data != NULL)
        wipe(pem.data, pem.cap);
    buf_done(&pem);
    ERR_clear_error();
    return err;
}

struct key_paths {
    char current[KEY_PATH_CAP];
    char previous[KEY_PATH_CAP];
};

static int make_paths(const char *dir, struct key_paths *ret, struct why *why)
{
    int a = snprintf(ret->current, sizeof(ret->current), "%s/signing-key.pem", dir);
    int b = snprintf(ret->previous, sizeof(ret->previous), "%s/signing-key.previous.pem", dir);

    if (a < 0 || b < 0 || a >= (int)sizeof(ret->current) || b >= (int)sizeof(ret->previous))
        return why_set(why, -ENAMETOOLONG, "the directory's name is too long");
    return 0;
}

int keyring_open(const char *dir, struct keyring **ret, struct why *why)
{
    struct key_paths paths;
    struct keyring *k;
    int err = make_paths(dir, &paths, why);

    if (err == 0 && access(paths.current, F_OK) < 0 && errno == ENOENT)
        err = make_key_file(paths.current, why);
    if (err < 0)
        return err;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    err = load_key(paths.current, &k->keys[k->count++], why);
    if (err == 0 && access(paths.previous, F_OK) == 0)
        err = load_key(paths.previous, &k->keys[k->count++], why);
    if (err < 0) {
        keyring_free(k);
        return err;
    }
    *ret = k;
    return 0;
}

int keyring_rotate(const char *dir, struct why *why)
{
    struct key_paths paths;
    int err = make_paths(dir, &paths, why);

    if (err < 0)
        return err;
    if (rename(paths.current, paths.previous) < 0)
        return why_set(why, -errno, "cannot rename %s: %s", paths.current, strerror(errno));
    return make_key_file(paths.current, why);
}

const char *keyring_signing_id(const struct keyring *k)
{
    return k->keys[0].id;
}

struct bytes keyring_private_pem(const struct keyring *k)
{
    return buf_bytes(&k->keys[0].private_pem);
}

struct bytes keyring_public_pem(const struct keyring *k, struct bytes kid)
{
    for (unsigned i = 0; i < k->count; i++)
        if (bytes_equal(kid, bytes_of_str(k->keys[i].id)))
            return buf_bytes(&k->keys[i].public_pem);
    return (struct bytes){0};
}

int keyring_write_jwks(const struct keyring *k, struct buf *to)
{
    struct json_out j;

    json_out_init(&j, to);
    json_open_object(&j);
    json_key(&j, "keys");
    json_open_array(&j);
    for (unsigned i = 0; i < k->count; i++) {
        json_open_object(&j);
        json_put_str(&j, "kty", "EC");
        json_put_str(&j, "crv", "P-256");
        json_put_str(&j, "x", k->keys[i].x);
        json_put_str(&j, "y", k->keys[i].y);
        json_put_str(&j, "kid", k->keys[i].id);
        json_put_str(&j, "alg", "ES256");
        json_put_str(&j, "use", "sig");
        json_close_object(&j);
    }
    json_close_array(&j);
    json_close_object(&j);
    return buf_error(to);
}
