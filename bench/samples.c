/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See samples.h. Nothing here is fast; nothing here runs between two readings of the clock.
 */
#include "bench/samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"

void samples_init(struct samples *s, unsigned cap)
{
    must(cap > 0 && cap <= SAMPLES_MAX);
    *s = (struct samples){.values = calloc(cap, sizeof(double)), .cap = cap};
    must(s->values != NULL);
}

void samples_done(struct samples *s)
{
    free(s->values);
    *s = (struct samples){0};
}

void samples_add(struct samples *s, double value)
{
    must(s->count < s->cap);
    s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/** The smallest sample that @percent of all do not exceed (nearest rank). */
static double percentile(const struct samples *s, unsigned percent)
{
    unsigned long rank = ((unsigned long)s->count * percent + 99) / 100;

    return s->values[rank > 0 ? rank - 1 : 0];
}

void samples_print(struct samples *s, const char *name, const char *unit, bool is_rate)
{
    must(s->count > 0);
    qsort(s->values, s->count, sizeof(s->values[0]), by_value);
    printf("%s\t%s\t%.1f\t%.1f\t%u\n", name, unit, percentile(s, 50),
           percentile(s, is_rate ? 1 : 99), s->count);
    (void)fflush(stdout);
}

double now_us(void)
{
    struct timespec t;

    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

unsigned long count_of(const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value == 0 || value > max) {
        (void)fprintf(stderr, "'%s': a number from 1 to %lu expected\n", text, max);
        exit(2);
    }
    return value;
}
