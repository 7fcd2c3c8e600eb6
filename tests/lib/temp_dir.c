/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/temp_dir.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

enum { WALK_DESCRIPTORS = 16 };

void temp_dir_init(struct temp_dir *dir)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0') {
        parent = "/tmp";
    }
    dir->next = 0;
    CHECK(path_join(dir->path, parent, "estreat-test-XXXXXX", NULL) == STATUS_OK);
    CHECK(mkdtemp(dir->path) != NULL);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

void temp_dir_release(struct temp_dir *dir)
{
    /* Contents before their directory, and never through a link. */
    if (nftw(dir->path, remove_one, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0) {
        (void)fprintf(stderr, "%s: not all of it could be removed\n", dir->path);
    }
}

const char *temp_dir_path(struct temp_dir *dir, const char *name)
{
    char *out = dir->joined[dir->next % (sizeof dir->joined / sizeof dir->joined[0])];
    dir->next++;
    CHECK(path_join(out, dir->path, name, NULL) == STATUS_OK);
    return out;
}

int temp_dir_setup(void **state)
{
    struct temp_dir *dir = alloc_new(alloc_default(), sizeof *dir);
    CHECK(dir != NULL);
    temp_dir_init(dir);
    *state = dir;
    return 0;
}

int temp_dir_teardown(void **state)
{
    temp_dir_release(*state);
    alloc_free(alloc_default(), *state);
    return 0;
}
