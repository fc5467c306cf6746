/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of one measurement, and the one line that reports them: name, unit, median, p99, n,
 * separated by tabs. For a rate (higher is better) p99 is what 99 of 100 samples reach, so the bad
 * end is reported either way.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#define SAMPLES_MAX 1000000u

struct samples {
    double *values; /* owned */
    unsigned count;
    unsigned cap;
};

/** samples_init() - Room for @cap samples, at most SAMPLES_MAX; ends the program when there is
 * none. */
void samples_init(struct samples *s, unsigned cap);
void samples_done(struct samples *s);
/** samples_add() - One more; more than @cap is a bug. */
void samples_add(struct samples *s, double value);
/** samples_print() - Sorts, and prints the line. */
void samples_print(struct samples *s, const char *name, const char *unit, bool is_rate);

/** now_us() - CLOCK_MONOTONIC in microseconds. */
double now_us(void);

/** count_of() - A number on the command line; ends the program with a message when it is none. */
unsigned long count_of(const char *text, unsigned long max);

#endif
