/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for people, on standard error: constant text plus named fields, one line each. Levels:
 * error = someone must act, warn = we coped, info = lifecycle, debug = free. Nothing above warn is
 * shown unless the user asked (--verbose). Engines return errors and do not log above debug.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR = 0,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

struct log_field {
    const char *key;
    const char *text; /* NULL: the number is the value */
    int64_t number;
};

#define F_STR(k, v) ((struct log_field){.key = (k), .text = (v)})
#define F_INT(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})

/** log_setup() - Once, at start: the program's name, the most talkative level shown, JSON lines or
 * text. @program is borrowed for the life of the process. */
void log_setup(const char *program, enum log_level level, bool json);
bool log_enabled(enum log_level level);

/** log_line() - Write one line; foreign text is escaped and cut. Use the macros below. */
void log_line(enum log_level level, const char *text, const struct log_field *fields,
              unsigned count);

/** log_sentence() - A message of its own kind: people read @sentence, programs (JSON) @text and the
 * fields. Shown whenever warnings are. */
void log_sentence(const char *sentence, const char *text, const struct log_field *fields,
                  unsigned count);

#define LOG_AT(level, text, ...)                                                                   \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                               \
            log_line((level), (text), fields_ + 1,                                                 \
                     (unsigned)(sizeof(fields_) / sizeof(fields_[0])) - 1);                        \
        }                                                                                          \
    } while (0)

#define log_error(text, ...) LOG_AT(LOG_LEVEL_ERROR, text, ##__VA_ARGS__)
#define log_warn(text, ...)  LOG_AT(LOG_LEVEL_WARN, text, ##__VA_ARGS__)
#define log_info(text, ...)  LOG_AT(LOG_LEVEL_INFO, text, ##__VA_ARGS__)
#define log_debug(text, ...) LOG_AT(LOG_LEVEL_DEBUG, text, ##__VA_ARGS__)

#endif
