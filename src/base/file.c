/* file.c - mapping, reading, and writing by rename
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static vise_status io_error(vise_err *e, const char *path, const char *what, int err)
{
    char text[96];
    // GNU strerror_r returns the text, thread-safe
    return vise_fail(e, VISE_EIO, "%s: %s: %s", path, what, strerror_r(err, text, sizeof text));
}

static vise_status open_regular(int *fd, size_t *size, const char *path, vise_err *e)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not make us wait
    if (*fd < 0) return io_error(e, path, "cannot open", errno);
    if (fstat(*fd, &st) || !S_ISREG(st.st_mode)) {
        close(*fd);
        return vise_fail(e, VISE_EIO, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return VISE_OK;
}

vise_status vise_map_open(vise_map *m, const char *path, vise_err *e)
{
    int fd;
    *m = (vise_map){0};
    VISE_TRY(open_regular(&fd, &m->size, path, e));
    if (m->size) {
        m->mapping = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (m->mapping == MAP_FAILED) {
            int err = errno;
            close(fd);
            *m = (vise_map){0};
            return io_error(e, path, "cannot map", err);
        }
        m->data = m->mapping;
    }
    close(fd);
    return VISE_OK;
}

void vise_map_close(vise_map *m)
{
    if (m->mapping) munmap(m->mapping, m->size);
    *m = (vise_map){0};
}

void vise_map_drop(const vise_map *m, const void *p, size_t n)
{
    if (!m->mapping || (const uint8_t *)p < m->data || (const uint8_t *)p >= m->data + m->size)
        return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t from = (size_t)((const uint8_t *)p - m->data);
    size_t to = n < m->size - from ? from + n : m->size; // behind the map lies other memory
    from = (from + page - 1) / page * page; // whole pages inside only: neighbours may be in use
    to = to / page * page;
    if (from < to) madvise((uint8_t *)m->mapping + from, to - from, MADV_DONTNEED);
}

vise_status vise_read_text(char **text, size_t *size, const char *path, size_t limit, vise_err *e)
{
    int fd;
    size_t n, done = 0;
    char *p = NULL;
    VISE_TRY(open_regular(&fd, &n, path, e));
    vise_status s = VISE_OK;
    if (n > limit)
        s = vise_fail(e, VISE_EFORMAT, "%s: %zu bytes, at most %zu are read", path, n, limit);
    if (!s) s = vise_alloc_or(&p, n + 1, 1, path, e);
    while (!s && done < n) {
        ssize_t got = read(fd, p + done, n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) s = io_error(e, path, "cannot read", errno);
        if (got == 0) s = vise_fail(e, VISE_EIO, "%s: became shorter while it was read", path);
        if (got > 0) done += (size_t)got;
    }
    close(fd);
    if (s) {
        vise_free(p);
        return s;
    }
    *text = p;
    if (size) *size = n;
    return VISE_OK;
}

/* A file that has no name yet, so that nothing is left of it whatever happens to this process; where
 * the file system has no such thing, one with a temporary name. Mode 0666, as the umask allows. */
static int open_new(vise_out *o, const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (fd >= 0) return fd;
    unlink(o->temp); // what a killed process left
    fd = open(o->temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    o->named = fd >= 0;
    return fd;
}

/* One name for one path: what a process leaves that is killed is gone with the next. */
static vise_status name_temp(vise_out *o, const char *path, vise_err *e)
{
    static const char end[] = ".vise-part";
    const size_t n = strlen(path);
    VISE_TRY(vise_alloc_or(&o->temp, n + sizeof end, 1, "a path", e));
    memcpy(o->temp, path, n);
    memcpy(o->temp + n, end, sizeof end);
    return VISE_OK;
}

vise_status vise_out_open(vise_out *o, const char *path, vise_err *e)
{
    *o = (vise_out){0};
    char *dir = NULL;
    vise_status s = name_temp(o, path, e);
    if (!s) s = vise_path_beside(&dir, path, ".", e);
    if (!s && !(o->path = vise_strdup(path)))
        s = vise_fail(e, VISE_ENOMEM, "out of memory: the name of %s", path);
    if (!s) {
        const int fd = open_new(o, dir);
        o->file = fd < 0 ? NULL : fdopen(fd, "wb");
        if (!o->file) s = io_error(e, path, "cannot write", errno);
        if (fd >= 0 && !o->file) close(fd);
    }
    vise_free(dir);
    if (s) vise_out_abandon(o);
    return s;
}

void vise_out_write(vise_out *o, const void *p, size_t n)
{
    if (o->error || !n) return;
    if (fwrite(p, 1, n, o->file) != n) o->error = errno ? errno : EIO;
    o->bytes += n;
}

/* Gives the unnamed file its temporary name; rename, unlike link, replaces what is there. A file that
 * had the name from the start has to have it still: it may be another process's by now. */
static int give_name(vise_out *o)
{
    char proc[64];
    if (o->named) {
        struct stat ours, there;
        if (fstat(fileno(o->file), &ours) || stat(o->temp, &there)) return errno;
        o->named = ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
        return o->named ? 0 : EBUSY;
    }
    unlink(o->temp);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fileno(o->file));
    if (linkat(AT_FDCWD, proc, AT_FDCWD, o->temp, AT_SYMLINK_FOLLOW)) return errno;
    o->named = true;
    return 0;
}

vise_status vise_out_commit(vise_out *o, vise_err *e)
{
    FILE *f = o->file;
    if (!o->error && fflush(f)) o->error = errno;
    if (!o->error && fsync(fileno(f))) o->error = errno;
    if (!o->error) o->error = give_name(o);
    o->file = NULL;
    if (fclose(f) && !o->error) o->error = errno;
    if (!o->error && rename(o->temp, o->path)) o->error = errno;
    if (!o->error) o->named = false; // nothing is left to remove
    const vise_status s = o->error ? io_error(e, o->path, "cannot write", o->error) : VISE_OK;
    vise_out_abandon(o);
    return s;
}

void vise_out_abandon(vise_out *o)
{
    if (o->file) fclose(o->file);
    if (o->named) unlink(o->temp);
    vise_free(o->temp);
    vise_free(o->path);
    *o = (vise_out){0};
}

bool vise_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool vise_is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

static vise_status join(char **out, const char *dir, size_t dir_len, const char *name, vise_err *e)
{
    size_t n = dir_len + strlen(name) + 2;
    VISE_TRY(vise_alloc_or(out, n, 1, "a path", e));
    snprintf(*out, n, "%.*s%s%s", (int)dir_len, dir, dir_len && dir[dir_len - 1] != '/' ? "/" : "",
             name);
    return VISE_OK;
}

vise_status vise_path_beside(char **out, const char *path, const char *name, vise_err *e)
{
    const char *slash = strrchr(path, '/');
    return join(out, path, slash ? (size_t)(slash - path) + 1 : 0, name, e);
}

vise_status vise_path_join(char **out, const char *dir, const char *name, vise_err *e)
{
    return join(out, dir, strlen(dir), name, e);
}
