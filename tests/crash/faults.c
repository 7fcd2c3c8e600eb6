/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into a node: its disk fails when a test says so, by files in the
 * directory $ESTREAT_FAULTS.
 *
 *   sync   the next fdatasync or fsync fails with EIO and takes the file away
 *   write  the next pwrite, the same
 *   slow   while it is there, a fdatasync or fsync takes as many milliseconds more as it says
 *   full   while it is there, reservations and writes that would make a file
 *          longer fail with ENOSPC, and no room is said to be left
 *
 * What fails does nothing. Any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static bool path_of(const char *name, char path[4096])
{
    const char *directory = getenv("ESTREAT_FAULTS");
    return directory != NULL && snprintf(path, 4096, "%s/%s", directory, name) < 4096;
}

/* Whoever takes the file away is the one that fails. */
static bool strikes(const char *name)
{
    char path[4096];
    int saved = errno;
    bool struck = path_of(name, path) && unlink(path) == 0;
    errno = saved;
    return struck;
}

static bool is_full(void)
{
    char path[4096];
    int saved = errno;
    bool full = path_of("full", path) && access(path, F_OK) == 0;
    errno = saved;
    return full;
}

static bool makes_longer(int fd, size_t length, off_t offset)
{
    struct stat about;
    return fstat(fd, &about) == 0 && offset + (off_t)length > about.st_size;
}

static void take_long(void)
{
    char path[4096];
    char text[16];
    int saved = errno;
    FILE *file = path_of("slow", path) ? fopen(path, "re") : NULL;
    if (file != NULL) {
        if (fgets(text, sizeof text, file) != NULL) {
            (void)usleep((unsigned)strtoul(text, NULL, 10) * 1000);
        }
        (void)fclose(file);
    }
    errno = saved;
}

EXPORT int fdatasync(int fd)
{
    take_long();
    if (strikes("sync")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

EXPORT int fsync(int fd)
{
    take_long();
    if (strikes("sync")) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    if (strikes("write")) {
        errno = EIO;
        return -1;
    }
    if (makes_longer(fd, length, offset) && is_full()) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

/* Returns the error. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t length)
{
    int saved = errno;
    int result = is_full() ? ENOSPC : 0;
    if (result == 0 && syscall(SYS_fallocate, fd, 0, offset, length) != 0) {
        result = errno;
    }
    errno = saved;
    return result;
}

EXPORT int statvfs(const char *path, struct statvfs *about)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int result = fstatvfs(fd, about);
    if (result == 0 && is_full()) {
        about->f_bavail = 0;
        about->f_bfree = 0;
    }
    (void)close(fd);
    return result;
}
