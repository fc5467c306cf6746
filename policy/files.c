/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of the file policy as people write them: which spellings are taken, and where they stand in
 * a policy file. What a path means (`~`, `.`, links) is found out when a sandbox starts; nothing is
 * looked up here.
 */
#include "policy/files.h"

#include <errno.h>
#include <string.h>

#include "base/nameset.h"

int files_check_path(struct bytes text, struct why *why)
{
    const char *s = (const char *)text.data;
    size_t dots = 0;

    if (text.len == 0 || text.len > POLICY_PATH_MAX) {
        (void)why_set(why, -EINVAL, "a path of 1 to %u bytes, expected", POLICY_PATH_MAX);
        goto at_start;
    }
    for (size_t i = 0; i < text.len; i++) {
        const char *what = s[i] == '*' || s[i] == '?' ? "there are no wildcards in paths: name the "
                                                        "directory, all below it goes with it"
                           : (uint8_t)s[i] < 0x20 || s[i] == 0x7f
                               ? "a path has no control characters"
                               : NULL;

        if (what == NULL)
            continue;
        (void)why_set(why, -EINVAL, "%s", what);
        why_at(why, "", 0, (unsigned)i + 1);
        return -EINVAL;
    }
    while (dots < text.len && dots < 2 && s[dots] == '.')
        dots++;
    if (s[0] == '/' || ((s[0] == '~' || dots > 0) &&
                        (text.len == (dots > 0 ? dots : 1) || s[dots > 0 ? dots : 1] == '/')))
        return 0;
    (void)why_set(why, -EINVAL, "a path begins with /, ~/, ./ or ../");
at_start:
    why_at(why, "", 0, 1);
    return -EINVAL;
}

static int read_mode(struct policy *p, const char *file, const struct json *v, struct why *why)
{
    if (v == NULL)
        return 0;
    if (!json_is_str(v, "open") && !json_is_str(v, "workspace"))
        return json_fail(why, file, v, "files.mode must be \"open\" or \"workspace\"");
    policy_set_files_mode(p, json_is_str(v, "open") ? POLICY_FILES_OPEN : POLICY_FILES_WORKSPACE);
    return 0;
}

static int read_paths(struct policy *p, const char *file, const struct json *list,
                      enum policy_files_access access, struct why *why)
{
    const char *name = json_name(list);

    if (list != NULL && json_type(list) != JSON_ARRAY)
        return json_fail(why, file, list, "%s must be an array of paths, not %s", name,
                         json_type_name(json_type(list)));
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        struct why fault = {0};
        const char *text;

        if (json_read_str(v, &text) < 0)
            return json_fail(why, file, v, "a path is a string");
        if (policy_add_path(p, access, bytes_of_str(text), &fault) < 0) {
            (void)json_fail(why, file, v, "%s", fault.text);
            if (why != NULL && json_text(v).len == strlen(text) + 2) /* written without escapes */
                why->column += fault.column;
            return -EINVAL;
        }
    }
    return 0;
}

int policy_parse_files(struct policy *p, const char *file, const struct json *v, struct why *why)
{
    static const char *const keys[] = {"mode", "read", "write"};
    const struct policy_files *f = policy_files(p);
    int err;

    if (v == NULL)
        return 0;
    if (json_type(v) != JSON_OBJECT)
        return json_fail(why, file, v, "files must be an object, not %s",
                         json_type_name(json_type(v)));
    if ((err = json_check_keys(v, keys, ARRAY_COUNT(keys), file, why)) < 0 ||
        (err = read_mode(p, file, json_get(v, "mode"), why)) < 0 ||
        (err = read_paths(p, file, json_get(v, "read"), POLICY_FILES_READ, why)) < 0 ||
        (err = read_paths(p, file, json_get(v, "write"), POLICY_FILES_WRITE, why)) < 0)
        return err;
    if (f->mode != POLICY_FILES_WORKSPACE && (f->read.count > 0 || f->write.count > 0))
        return json_fail(why, file, v,
                         "read and write go with \"mode\": \"workspace\"; without it every file is "
                         "open");
    return 0;
}
