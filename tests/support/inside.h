/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test that runs itself as the agent of a real sandbox: offline, the supervisor a child of the
 * test, the agent's standard input and output pipes of the test. LATTICE_INNER names what the
 * program shall do inside; its main() asks for that first.
 *
 * Lifecycle: inside_start → (inside_line | inside_go)* → inside_end.
 */
#ifndef TESTS_SUPPORT_INSIDE_H
#define TESTS_SUPPORT_INSIDE_H

#include <stdio.h>
#include <sys/types.h>

#include "base/must.h"

struct inside {
    pid_t supervisor;
    int to;     /* the agent's standard input */
    FILE *from; /* its standard output */
    char folder[64];
};

/** For the code inside: what does not hold is said, and ends it with status 1. */
#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            inside_complain(__func__, __LINE__, #cond);                                            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

void inside_complain(const char *function, int line, const char *what);

/** inside_start() - Run this very program inside, with LATTICE_INNER=@name. */
void inside_start(struct inside *in, const char *name);
/** inside_line() - The next line that the agent says, without its end; "" when there is none. */
void inside_line(struct inside *in, char *ret, size_t cap);
/** inside_go() - Send the agent one byte. */
void inside_go(struct inside *in);
/** inside_end() - Wait for the sandbox, and for all who hold the agent's standard output; remove
 * its records. Returns the exit status. */
int inside_end(struct inside *in);

/** inside_slowness() - LATTICE_SLOW=N: on a machine N times slower than usual (an emulated one) do
 * less. 1 when not set. */
unsigned inside_slowness(void);

#endif
