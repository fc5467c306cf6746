/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time from starting a command to its end, many times: bench_exec NAME N CMD ARGS… (for example
 * `true`, natively and in a sandbox). The first run is not counted. A run that fails ends the
 * bench: the time of a failure says nothing.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "bench/samples.h"

static double run_once(char *const *argv)
{
    double start = now_us();
    int status = 0;
    pid_t pid;
    int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (err != 0) {
        (void)fprintf(stderr, "bench_exec: %s: %s\n", argv[0], strerror(err));
        exit(1);
    }
    must(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)fprintf(stderr, "bench_exec: %s ended with wait status %d\n", argv[0], status);
        exit(1);
    }
    return now_us() - start;
}

int main(int argc, char **argv)
{
    struct samples s;
    unsigned n;

    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_exec NAME N CMD ARGS…\n");
        return 2;
    }
    n = (unsigned)count_of(argv[2], SAMPLES_MAX);
    samples_init(&s, n);
    (void)run_once(argv + 3);
    for (unsigned i = 0; i < n; i++)
        samples_add(&s, run_once(argv + 3) / 1000);
    samples_print(&s, argv[1], "ms", /*is_rate=*/false);
    samples_done(&s);
    return 0;
}
