/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a fuzz target's corpus without libFuzzer: every file of the folders named on the command
 * line, then each of them cut at every length, so that truncation is always covered. Exit status 1
 * when a folder is empty: a corpus that vanished must not look like a success.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"

#define SEED_MAX       (1u << 20)
#define TRUNCATION_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void replay_exact(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1); /* exact size: a sanitizer sees each overread */

    must(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static unsigned replay_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        struct buf seed;
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        buf_init(&seed, SEED_MAX);
        if (io_read_file(file, &seed, NULL) == 0) {
            replay_exact(seed.data, seed.len);
            for (size_t cut = 0; cut < seed.len && cut < TRUNCATION_MAX; cut++)
                replay_exact(seed.data, cut);
            count++;
        }
        buf_done(&seed);
    }
    (void)closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        unsigned count = replay_folder(argv[i]);

        printf("%s: %u seeds\n", argv[i], count);
        if (count == 0)
            return EXIT_FAILURE;
    }
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
