/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the enroll room: a follower's process and its messages, from both sides. */
#ifndef ENROLL_PROCESS_H
#define ENROLL_PROCESS_H

#include "base/buf.h"
#include "enroll/enroll.h"

/** A message is its length (4 bytes, little endian), its kind (1 byte), and so many bytes. */
#define PROCESS_HEADER      5u
#define PROCESS_MESSAGE_MAX (256u << 10)

/* The owner's side. */

/** process_start() - Fork; the child runs @run with its end of the socket and exits with what it
 * returns. It dies with the caller, gets no signal of the terminal's, and has only descriptor
 * 0, 1, 2 and its socket. */
int process_start(const char *name, int (*run)(int fd, void *self), void *self, struct enroll **ret,
                  struct why *why) MUST_USE;
/** process_wait() - As enroll_read(), but wait for a message, at most @limit_s. -ETIMEDOUT. */
int process_wait(struct enroll *e, unsigned limit_s, enum enroll_news *ret,
                 struct bytes *ret_text) MUST_USE;
int process_write(struct enroll *e, const void *data, size_t len) MUST_USE;

/* The follower's side. */

/** process_tell() - Send a message; ends the process when nobody hears. */
void process_tell(int fd, enum enroll_news news, struct bytes text);
void process_tell_pair(int fd, enum enroll_news news, struct bytes first, struct bytes second);
void process_tell_text(int fd, enum enroll_news news, const char *text);
/** process_pause() - Sleep @ms; ends the process when the owner has gone. */
void process_pause(int fd, int64_t ms);

/** process_jail() - From here on the process can speak with latticed, write below @folder (NULL:
 * nowhere), and nothing else. Everything that libraries load when they are first used must have
 * been used. */
int process_jail(const char *folder, struct why *why) MUST_USE;

/** Back-off between tries: doubling, with a random part, up to BACKOFF_MAX_MS. */
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 5000
struct backoff {
    int64_t ms; /* 0: the last try was well */
};
int64_t backoff_next(struct backoff *b);

#endif
