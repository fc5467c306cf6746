/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict reader. It refuses every text that is not RFC 8259 to the letter, and it refuses to
 * guess: a document that our scan and cJSON understand differently is an error.
 *
 * Theory of operation: the scan goes over the text once, checks the grammar, and writes one node
 * per value in the order of the text (so the first child of a container is the node behind it).
 * Then cJSON parses the same text and decodes strings and numbers; tie_nodes() walks both in step
 * and ties each node to its cJSON item. Last, duplicate names are looked for among the decoded
 * names, so that "a" and
 * "\u0061" are the same. Nodes carry the place in the text, which cJSON does not know.
 */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

struct place {
    uint32_t line;
    uint32_t column;
};

struct json {
    const cJSON *item;
    const uint8_t *text; /* in the document's copy */
    uint32_t start;      /* offset of the first byte; text is set from it when the scan is over */
    uint32_t len;
    uint32_t next;  /* nodes from this one to its next sibling; 0: there is none */
    uint32_t count; /* children */
    struct place at;
    struct place name_at; /* where the member's name begins */
    uint8_t type;         /* enum json_type */
    bool has_name;
};

struct json_doc {
    uint8_t *text; /* owned, terminated */
    struct json *nodes;
    cJSON *tree;
};

enum want {
    WANT_VALUE,
    WANT_VALUE_OR_END,  /* behind '[' */
    WANT_MEMBER_OR_END, /* behind '{' */
    WANT_MEMBER,        /* behind ',' in an object */
    WANT_COMMA_OR_END,
    WANT_NOTHING, /* behind the document's value */
};

struct open_container {
    uint32_t node;
    uint32_t last_child;
};

struct scan {
    const uint8_t *text;
    size_t len;
    size_t pos;
    size_t line_start;  /* offset of the current line's first byte */
    size_t line_trails; /* bytes 2..4 of characters seen in it, so columns count characters */
    uint32_t line;      /* 1-based */
    struct json *nodes; /* owned until the document takes them */
    uint32_t node_count;
    uint32_t node_cap;
    unsigned values_max;
    unsigned depth_max;
    unsigned depth;
    struct open_container open[JSON_DEPTH_MAX];
    enum want want;
    struct json name; /* has_name: the member whose value comes next */
    struct why *why;
};

static struct place here(const struct scan *s)
{
    return (struct place){.line = s->line,
                          .column = (uint32_t)(s->pos - s->line_start - s->line_trails + 1)};
}

static void set_place(struct why *why, struct place at)
{
    if (why == NULL)
        return;
    why->line = at.line;
    why->column = at.column;
}

/** Refuse the byte at the scan's position: @expected says what should stand there. */
static int unexpected(struct scan *s, const char *expected)
{
    if (s->pos >= s->len)
        (void)why_set(s->why, -EINVAL, "expected %s, but the text ends here", expected);
    else if (s->text[s->pos] > 0x20 && s->text[s->pos] < 0x7f)
        (void)why_set(s->why, -EINVAL, "expected %s, found '%c'", expected, s->text[s->pos]);
    else
        (void)why_set(s->why, -EINVAL, "expected %s, found byte 0x%02x", expected, s->text[s->pos]);
    set_place(s->why, here(s));
    return -EINVAL;
}

static int refuse(struct scan *s, int err, const char *what)
{
    (void)why_set(s->why, err, "%s", what);
    set_place(s->why, here(s));
    return err;
}

static bool at_byte(const struct scan *s, char c)
{
    return s->pos < s->len && s->text[s->pos] == (uint8_t)c;
}

static bool at_digit(const struct scan *s)
{
    return s->pos < s->len && s->text[s->pos] >= '0' && s->text[s->pos] <= '9';
}

static void skip_blanks(struct scan *s)
{
    for (; s->pos < s->len; s->pos++) {
        uint8_t c = s->text[s->pos];

        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            return;
        if (c == '\n') {
            s->line++;
            s->line_start = s->pos + 1;
            s->line_trails = 0;
        }
    }
}

/** Four hexadecimal digits at the scan's position. */
static int scan_hex4(struct scan *s, unsigned *ret)
{
    unsigned value = 0;

    for (unsigned i = 0; i < 4; i++, s->pos++) {
        uint8_t c = s->pos < s->len ? s->text[s->pos] : 0;

        if (c >= '0' && c <= '9')
            value = value << 4 | (unsigned)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            value = value << 4 | (unsigned)((c | 0x20) - 'a' + 10);
        else
            return unexpected(s, "four hexadecimal digits behind \\u");
    }
    *ret = value;
    return 0;
}

/** What stands behind a backslash: RFC 8259 section 7. */
static int scan_escape(struct scan *s)
{
    unsigned unit;
    int err;

    if (s->pos >= s->len || s->text[s->pos] == 0 || strchr("\"\\/bfnrtu", s->text[s->pos]) == NULL)
        return unexpected(s, "one of \" \\ / b f n r t u behind a backslash");
    if (s->text[s->pos++] != 'u')
        return 0;
    if ((err = scan_hex4(s, &unit)) < 0)
        return err;
    if (unit == 0)
        return refuse(s, -EINVAL, "\\u0000 inside a string is not accepted");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return refuse(s, -EINVAL, "a low surrogate without a high one before it");
    if (unit < 0xd800 || unit > 0xdbff)
        return 0;
    if (s->len - s->pos < 2 || memcmp(s->text + s->pos, "\\u", 2) != 0)
        return refuse(s, -EINVAL, "a high surrogate without a low one behind it");
    s->pos += 2;
    if ((err = scan_hex4(s, &unit)) < 0)
        return err;
    if (unit < 0xdc00 || unit > 0xdfff)
        return refuse(s, -EINVAL, "a high surrogate without a low one behind it");
    return 0;
}

/** A string, from its opening to behind its closing quote. */
static int scan_string(struct scan *s)
{
    s->pos++;
    while (s->pos < s->len) {
        uint8_t c = s->text[s->pos];
        size_t len = utf8_len(s->text + s->pos, s->len - s->pos);
        int err;

        if (c == '"') {
            s->pos++;
            return 0;
        }
        if (c < 0x20)
            return refuse(s, -EINVAL, "a control byte inside a string: write it as an escape");
        if (len == 0)
            return refuse(s, -EINVAL, "not valid UTF-8");
        s->pos += len;
        s->line_trails += len - 1;
        if (c == '\\' && (err = scan_escape(s)) < 0)
            return err;
    }
    return unexpected(s, "the closing quote of a string");
}

static int scan_digits(struct scan *s)
{
    if (!at_digit(s))
        return unexpected(s, "a digit");
    while (at_digit(s))
        s->pos++;
    return 0;
}

/** A number: RFC 8259 section 6. */
static int scan_number(struct scan *s)
{
    size_t start = s->pos;
    int err;

    if (at_byte(s, '-'))
        s->pos++;
    if (at_byte(s, '0')) {
        s->pos++;
        if (at_digit(s))
            return refuse(s, -EINVAL, "a number may not begin with 0");
    } else if ((err = scan_digits(s)) < 0) {
        return err;
    }
    if (at_byte(s, '.')) {
        s->pos++;
        if ((err = scan_digits(s)) < 0)
            return err;
    }
    if (at_byte(s, 'e') || at_byte(s, 'E')) {
        s->pos++;
        if (at_byte(s, '+') || at_byte(s, '-'))
            s->pos++;
        if ((err = scan_digits(s)) < 0)
            return err;
    }
    if (s->pos - start > JSON_NUMBER_MAX)
        return refuse(s, -EMSGSIZE, "a number longer than 63 characters");
    return 0;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len - s->pos < len || memcmp(s->text + s->pos, word, len) != 0)
        return unexpected(s, "a value");
    s->pos += len;
    return 0;
}

/** Append a node for the value at the scan's position and tie it to its container. */
static int add_node(struct scan *s, enum json_type type)
{
    struct json *node;

    if (s->node_count >= s->values_max)
        return refuse(s, -EMSGSIZE, "too many values");
    if (s->node_count == s->node_cap) {
        uint32_t cap = s->node_cap > 0 ? s->node_cap * 2 : 16;
        struct json *grown = reallocarray(s->nodes, cap, sizeof(*grown));

        if (grown == NULL)
            return refuse(s, -ENOMEM, "out of memory");
        s->nodes = grown;
        s->node_cap = cap;
    }
    node = &s->nodes[s->node_count];
    *node = s->name;
    s->name = (struct json){0};
    node->type = (uint8_t)type;
    node->start = (uint32_t)s->pos;
    node->at = here(s);
    if (s->depth > 0) {
        struct open_container *in = &s->open[s->depth - 1];

        if (s->nodes[in->node].count++ > 0)
            s->nodes[in->last_child].next = s->node_count - in->last_child;
        in->last_child = s->node_count;
    }
    s->node_count++;
    return 0;
}

static int open_container(struct scan *s, enum json_type type)
{
    int err;

    if (s->depth == s->depth_max)
        return refuse(s, -EMSGSIZE, "nested too deep");
    if ((err = add_node(s, type)) < 0)
        return err;
    s->open[s->depth++] = (struct open_container){.node = s->node_count - 1};
    s->pos++;
    s->want = type == JSON_ARRAY ? WANT_VALUE_OR_END : WANT_MEMBER_OR_END;
    return 0;
}

static void close_container(struct scan *s)
{
    struct json *node = &s->nodes[s->open[--s->depth].node];

    s->pos++;
    node->len = (uint32_t)s->pos - node->start;
    s->want = s->depth > 0 ? WANT_COMMA_OR_END : WANT_NOTHING;
}

static int scan_scalar(struct scan *s)
{
    uint8_t c = s->pos < s->len ? s->text[s->pos] : 0;
    uint32_t node = s->node_count;
    int err;

    if (c == '"') {
        if ((err = add_node(s, JSON_STRING)) == 0)
            err = scan_string(s);
    } else if (c == '-' || at_digit(s)) {
        if ((err = add_node(s, JSON_NUMBER)) == 0)
            err = scan_number(s);
    } else if (c == 't' || c == 'f') {
        if ((err = add_node(s, JSON_BOOL)) == 0)
            err = scan_word(s, c == 't' ? "true" : "false");
    } else if (c == 'n') {
        if ((err = add_node(s, JSON_NULL)) == 0)
            err = scan_word(s, "null");
    } else {
        return unexpected(s, s->want == WANT_VALUE_OR_END ? "a value or ']'" : "a value");
    }
    if (err < 0)
        return err;
    s->nodes[node].len = (uint32_t)s->pos - s->nodes[node].start;
    s->want = s->depth > 0 ? WANT_COMMA_OR_END : WANT_NOTHING;
    return 0;
}

static int scan_value(struct scan *s)
{
    if (at_byte(s, '{'))
        return open_container(s, JSON_OBJECT);
    if (at_byte(s, '['))
        return open_container(s, JSON_ARRAY);
    if (s->want == WANT_VALUE_OR_END && at_byte(s, ']')) {
        close_container(s);
        return 0;
    }
    return scan_scalar(s);
}

static int scan_member_name(struct scan *s)
{
    int err;

    if (s->want == WANT_MEMBER_OR_END && at_byte(s, '}')) {
        close_container(s);
        return 0;
    }
    if (!at_byte(s, '"'))
        return unexpected(s, s->want == WANT_MEMBER ? "a name in double quotes"
                                                    : "a name in double quotes or '}'");
    s->name = (struct json){.has_name = true, .name_at = here(s)};
    if ((err = scan_string(s)) < 0)
        return err;
    skip_blanks(s);
    if (!at_byte(s, ':'))
        return unexpected(s, "':'");
    s->pos++;
    s->want = WANT_VALUE;
    return 0;
}

static int scan_comma_or_end(struct scan *s)
{
    bool in_array = s->nodes[s->open[s->depth - 1].node].type == JSON_ARRAY;

    if (at_byte(s, ',')) {
        s->pos++;
        s->want = in_array ? WANT_VALUE : WANT_MEMBER;
        return 0;
    }
    if (!at_byte(s, in_array ? ']' : '}'))
        return unexpected(s, in_array ? "',' or ']'" : "',' or '}'");
    close_container(s);
    return 0;
}

static int scan_step(struct scan *s)
{
    switch (s->want) {
    case WANT_VALUE:
    case WANT_VALUE_OR_END:
        return scan_value(s);
    case WANT_MEMBER:
    case WANT_MEMBER_OR_END:
        return scan_member_name(s);
    case WANT_COMMA_OR_END:
        return scan_comma_or_end(s);
    case WANT_NOTHING:
        break;
    }
    return unexpected(s, "nothing behind the value");
}

static int scan_document(struct scan *s)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};

    if (s->len >= sizeof(mark) && memcmp(s->text, mark, sizeof(mark)) == 0)
        return refuse(s, -EINVAL, "a byte order mark is not JSON: save the file without it");
    for (;;) {
        int err;

        skip_blanks(s);
        if (s->want == WANT_NOTHING && s->pos == s->len)
            return 0;
        if ((err = scan_step(s)) < 0)
            return err;
    }
}

static enum json_type item_type(const cJSON *item)
{
    if (cJSON_IsNull(item))
        return JSON_NULL;
    if (cJSON_IsBool(item))
        return JSON_BOOL;
    if (cJSON_IsNumber(item))
        return JSON_NUMBER;
    if (cJSON_IsString(item))
        return JSON_STRING;
    if (cJSON_IsArray(item))
        return JSON_ARRAY;
    return cJSON_IsObject(item) ? JSON_OBJECT : JSON_NONE;
}

/** Tie every node to its cJSON item; false when the two parsers saw different things. */
static bool tie_nodes(struct json_doc *doc, uint32_t count)
{
    doc->nodes[0].item = doc->tree;
    for (uint32_t i = 0; i < count; i++) {
        struct json *v = &doc->nodes[i];

        if (v->item == NULL || item_type(v->item) != v->type ||
            v->has_name != (v->item->string != NULL))
            return false;
        v->text = doc->text + v->start;
        if (v->count > 0)
            v[1].item = v->item->child;
        else if (v->item->child != NULL)
            return false;
        if (v->next > 0)
            v[v->next].item = v->item->next;
        else if (i > 0 && v->item->next != NULL)
            return false;
    }
    return true;
}

/** Order by name, then by place, so that of two equal names the later one stands second. */
static int compare_members(const void *left, const void *right)
{
    const struct json *const *a = left;
    const struct json *const *b = right;
    int order = strcmp((*a)->item->string, (*b)->item->string);

    if (order != 0)
        return order;
    return (*a)->start < (*b)->start ? -1 : 1;
}

/** The first member, in order of names, whose name stands in @object a second time; NULL: none. */
static const struct json *find_duplicate(const struct json *object, const struct json **scratch)
{
    unsigned count = 0;

    for (const struct json *v = json_first(object); v != NULL; v = json_next(v))
        scratch[count++] = v;
    qsort(scratch, count, sizeof(const struct json *), compare_members);
    for (unsigned i = 1; i < count; i++)
        if (strcmp(scratch[i - 1]->item->string, scratch[i]->item->string) == 0)
            return scratch[i];
    return NULL;
}

static int check_duplicates(const struct json_doc *doc, uint32_t count, struct why *why)
{
    const struct json **scratch = reallocarray(NULL, count, sizeof(const struct json *));
    const struct json *twice = NULL;

    if (scratch == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < count && twice == NULL; i++)
        if (doc->nodes[i].type == JSON_OBJECT && doc->nodes[i].count > 1)
            twice = find_duplicate(&doc->nodes[i], scratch);
    free(scratch);
    if (twice == NULL)
        return 0;
    (void)why_set(why, -EINVAL, "the name \"%.64s\" stands twice in this object",
                  twice->item->string);
    set_place(why, twice->name_at);
    return -EINVAL;
}

/** Parse what the scan found to be sound; @doc owns text and nodes. */
static int build_tree(struct json_doc *doc, size_t len, uint32_t count, struct why *why)
{
    doc->tree = cJSON_ParseWithLengthOpts((const char *)doc->text, len + 1, NULL,
                                          /*require_null_terminated=*/1);
    if (doc->tree == NULL)
        return why_set(why, -ENOMEM, "out of memory, or a text that cJSON does not accept");
    if (!tie_nodes(doc, count))
        return why_set(why, -EINVAL, "a text that two parsers understand differently");
    return check_duplicates(doc, count, why);
}

int json_parse(struct bytes text, const struct json_limits *limits, struct json_doc **ret,
               struct why *why)
{
    struct scan scan = {.len = text.len, .line = 1, .why = why};
    struct json_doc *doc;
    int err;

    must(limits->bytes < UINT32_MAX && limits->depth <= JSON_DEPTH_MAX);
    if (text.len > limits->bytes)
        return why_set(why, -EMSGSIZE, "%zu bytes of JSON, at most %zu are accepted", text.len,
                       limits->bytes);
    doc = calloc(1, sizeof(*doc));
    if (doc == NULL || (doc->text = malloc(text.len + 1)) == NULL) {
        json_free(doc);
        return why_set(why, -ENOMEM, "out of memory");
    }
    if (text.len > 0)
        memcpy(doc->text, text.data, text.len);
    doc->text[text.len] = '\0';
    scan.text = doc->text;
    scan.values_max = limits->values > 0 ? limits->values : JSON_VALUES_MAX;
    scan.depth_max = limits->depth > 0 ? limits->depth : JSON_DEPTH_MAX;
    err = scan_document(&scan);
    doc->nodes = scan.nodes;
    if (err == 0)
        err = build_tree(doc, text.len, scan.node_count, why);
    if (err < 0) {
        json_free(doc);
        return err;
    }
    *ret = doc;
    return 0;
}

void json_free(struct json_doc *doc)
{
    if (doc == NULL)
        return;
    cJSON_Delete(doc->tree);
    free(doc->nodes);
    free(doc->text);
    free(doc);
}

const struct json *json_root(const struct json_doc *doc)
{
    return &doc->nodes[0];
}

enum json_type json_type(const struct json *v)
{
    return v != NULL ? (enum json_type)v->type : JSON_NONE;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NONE] = "nothing",     [JSON_NULL] = "null",       [JSON_BOOL] = "true or false",
        [JSON_NUMBER] = "a number",  [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object",
    };

    must(type < ARRAY_COUNT(names));
    return names[type];
}

const struct json *json_first(const struct json *container)
{
    return container != NULL && container->count > 0 ? container + 1 : NULL;
}

const struct json *json_next(const struct json *v)
{
    return v != NULL && v->next > 0 ? v + v->next : NULL;
}

unsigned json_count(const struct json *container)
{
    return container != NULL ? container->count : 0;
}

const char *json_name(const struct json *member)
{
    return member != NULL ? member->item->string : NULL;
}

const struct json *json_get(const struct json *object, const char *name)
{
    if (json_type(object) != JSON_OBJECT)
        return NULL;
    for (const struct json *v = json_first(object); v != NULL; v = json_next(v))
        if (strcmp(v->item->string, name) == 0)
            return v;
    return NULL;
}

struct bytes json_text(const struct json *v)
{
    return v != NULL ? bytes_of(v->text, v->len) : bytes_of(NULL, 0);
}

void json_place(const struct json *v, unsigned *ret_line, unsigned *ret_column)
{
    *ret_line = v != NULL ? v->at.line : 0;
    *ret_column = v != NULL ? v->at.column : 0;
}

int json_read_str(const struct json *v, const char **ret)
{
    if (json_type(v) != JSON_STRING)
        return -EINVAL;
    *ret = v->item->valuestring;
    return 0;
}

/** The digits of an integer without sign, as written: cJSON's double would lose the low bits. */
static int read_magnitude(const uint8_t *digits, size_t len, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
            return -EINVAL;
    }
    *ret = value;
    return 0;
}

int json_read_u64(const struct json *v, uint64_t *ret)
{
    return json_type(v) == JSON_NUMBER ? read_magnitude(v->text, v->len, ret) : -EINVAL;
}

int json_read_i64(const struct json *v, int64_t *ret)
{
    uint64_t magnitude;
    bool is_negative;

    if (json_type(v) != JSON_NUMBER)
        return -EINVAL;
    is_negative = v->text[0] == '-';
    if (read_magnitude(v->text + is_negative, v->len - is_negative, &magnitude) < 0 ||
        magnitude > (uint64_t)INT64_MAX + is_negative)
        return -EINVAL;
    *ret = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return 0;
}

int json_read_double(const struct json *v, double *ret)
{
    if (json_type(v) != JSON_NUMBER || !isfinite(v->item->valuedouble))
        return -EINVAL;
    *ret = v->item->valuedouble;
    return 0;
}

int json_read_bool(const struct json *v, bool *ret)
{
    if (json_type(v) != JSON_BOOL)
        return -EINVAL;
    *ret = cJSON_IsTrue(v->item);
    return 0;
}

bool json_is_str(const struct json *v, const char *text)
{
    return json_type(v) == JSON_STRING && strcmp(v->item->valuestring, text) == 0;
}

PRINTF_LIKE(4, 0)
static int fail_at(struct why *why, const char *file, struct place at, const char *format,
                   va_list args)
{
    char text[WHY_TEXT_MAX];

    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    (void)why_set(why, -EINVAL, "%s", text);
    why_at(why, file, at.line, at.column);
    return -EINVAL;
}

int json_fail(struct why *why, const char *file, const struct json *v, const char *format, ...)
{
    struct place at = v != NULL ? v->at : (struct place){0};
    va_list args;
    int err;

    va_start(args, format);
    err = fail_at(why, file, at, format, args);
    va_end(args);
    return err;
}

int json_fail_name(struct why *why, const char *file, const struct json *member, const char *format,
                   ...)
{
    va_list args;
    int err;

    va_start(args, format);
    err = fail_at(why, file, member->has_name ? member->name_at : member->at, format, args);
    va_end(args);
    return err;
}

/** Levenshtein distance of two short names; names beyond the table count as far apart. */
static unsigned name_distance(const char *a, const char *b)
{
    unsigned row[33];
    size_t len_a = strlen(a);
    size_t len_b = strlen(b);

    if (len_a >= ARRAY_COUNT(row) || len_b >= ARRAY_COUNT(row))
        return UINT32_MAX;
    for (unsigned j = 0; j <= len_b; j++)
        row[j] = j;
    for (unsigned i = 1; i <= len_a; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= len_b; j++) {
            unsigned change = diagonal + ((a[i - 1] | 0x20) != (b[j - 1] | 0x20));
            unsigned gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < gap ? change : gap;
        }
    }
    return row[len_b];
}

static const char *nearest_name(const char *name, const char *const *allowed, unsigned count)
{
    const char *best = NULL;
    unsigned least = 4; /* further away is no likely slip */

    for (unsigned i = 0; i < count; i++) {
        unsigned distance = name_distance(name, allowed[i]);

        if (distance < least) {
            least = distance;
            best = allowed[i];
        }
    }
    return best;
}

static bool is_among(const char *name, const char *const *allowed, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(name, allowed[i]) == 0)
            return true;
    return false;
}

/** "a, b, c" of the allowed names, cut when too long. */
static void list_names(const char *const *allowed, unsigned count, char *ret, size_t cap)
{
    size_t len = 0;

    ret[0] = '\0';
    for (unsigned i = 0; i < count && len < cap; i++)
        len += (size_t)snprintf(ret + len, cap - len, "%s%s", i > 0 ? ", " : "", allowed[i]);
}

int json_check_keys(const struct json *object, const char *const *allowed, unsigned count,
                    const char *file, struct why *why)
{
    for (const struct json *v = json_first(object); v != NULL; v = json_next(v)) {
        const char *name = json_name(v);
        const char *near;
        char list[160];

        if (name == NULL || is_among(name, allowed, count))
            continue;
        near = nearest_name(name, allowed, count);
        if (near != NULL)
            return json_fail_name(why, file, v, "unknown key \"%.64s\": did you mean \"%s\"?", name,
                                  near);
        list_names(allowed, count, list, sizeof(list));
        return json_fail_name(why, file, v, "unknown key \"%.64s\": expected one of %s", name,
                              list);
    }
    return 0;
}
