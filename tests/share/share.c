/* A directory, mounted once more as a share: what a client of NFS sees of its server, with what makes it different.
 *
 *     share DIRECTORY LIES MOUNTPOINT
 *
 * Nobody is told of what is done in DIRECTORY itself, which is how other hosts work on the share. A rename never takes
 * the flag that forbids to overwrite. What is removed while it is open stays under a hidden name. Names are remembered
 * for a second. LIES is a mapped file (struct lies): of so many calls that change names one, by chance, is done and denied.
 * The process ends with the thread that started it.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct lies { int32_t every, told, stale; }; /* stale: every call is answered so */

static int root;
static volatile struct lies *lies;

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static int answered(int result) { return lies->stale ? -ESTALE : result < 0 ? -errno : 0; }

/* The answer to a call that has changed a name: now and then, that it has not. Never of libfuse's own hidden ones. */
static int told(int result, int lie, const char *path)
{
    if (lies->stale || result < 0)
        return answered(result);
    if (lies->every && !strstr(path, ".fuse_hidden") && random() % lies->every == 0) {
        ++lies->told;
        return -lie;
    }
    return 0;
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
    config->use_ino = 1;
    config->attr_timeout = 0;
    config->entry_timeout = 1;
    config->negative_timeout = 0;
    return NULL;
}

static int get_attributes(const char *path, struct stat *found, struct fuse_file_info *file)
{
    return answered(fstatat(root, below(path), found, AT_SYMLINK_NOFOLLOW));
}

static int read_link(const char *path, char *target, size_t size)
{
    ssize_t length = readlinkat(root, below(path), target, size - 1);
    if (length >= 0)
        target[length] = 0;
    return answered(length < 0 ? -1 : 0);
}

static int make_link(const char *target, const char *path) { return told(symlinkat(target, root, below(path)), EEXIST, path); }
static int make_node(const char *path, mode_t mode, dev_t device) { return told(mknodat(root, below(path), mode, device), EEXIST, path); }
static int make_directory(const char *path, mode_t mode) { return told(mkdirat(root, below(path), mode), EEXIST, path); }
static int remove_name(const char *path) { return told(unlinkat(root, below(path), 0), ENOENT, path); }
static int remove_directory(const char *path) { return told(unlinkat(root, below(path), AT_REMOVEDIR), ENOENT, path); }

static int rename_name(const char *from, const char *to, unsigned int flags)
{
    if (flags)
        return -EINVAL;
    return told(renameat(root, below(from), root, below(to)), ENOENT, to);
}

static int link_name(const char *from, const char *to)
{
    return told(linkat(root, below(from), root, below(to), 0), EEXIST, to);
}

static int change_mode(const char *path, mode_t mode, struct fuse_file_info *file)
{
    return answered(fchmodat(root, below(path), mode, 0));
}

static int change_owner(const char *path, uid_t user, gid_t group, struct fuse_file_info *file)
{
    return answered(fchownat(root, below(path), user, group, AT_SYMLINK_NOFOLLOW));
}

static int change_times(const char *path, const struct timespec times[2], struct fuse_file_info *file)
{
    return answered(utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int cut(const char *path, off_t size, struct fuse_file_info *file)
{
    int descriptor = openat(root, below(path), O_WRONLY | O_CLOEXEC);
    int result = descriptor < 0 ? -1 : ftruncate(descriptor, size);
    int answer = answered(result);
    if (descriptor >= 0)
        close(descriptor);
    return answer;
}

static int open_file(const char *path, struct fuse_file_info *file)
{
    int descriptor = openat(root, below(path), file->flags | O_CLOEXEC);
    file->fh = descriptor;
    return answered(descriptor < 0 ? -1 : 0);
}

static int make_file(const char *path, mode_t mode, struct fuse_file_info *file)
{
    int descriptor = openat(root, below(path), file->flags | O_CREAT | O_CLOEXEC, mode);
    file->fh = descriptor;
    return answered(descriptor < 0 ? -1 : 0);
}

static int close_file(const char *path, struct fuse_file_info *file) { return close(file->fh) ? -errno : 0; }
static int sync_file(const char *path, int data, struct fuse_file_info *file) { return answered(fsync(file->fh)); }
static int sync_directory(const char *path, int data, struct fuse_file_info *file) { return answered(fsync(root)); }

static int read_file(const char *path, char *bytes, size_t size, off_t offset, struct fuse_file_info *file)
{
    ssize_t done = pread(file->fh, bytes, size, offset);
    return done < 0 ? -errno : (int)done;
}

static int write_file(const char *path, const char *bytes, size_t size, off_t offset, struct fuse_file_info *file)
{
    ssize_t done = pwrite(file->fh, bytes, size, offset);
    return done < 0 ? -errno : (int)done;
}

static int list(const char *path, void *into, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
                enum fuse_readdir_flags flags)
{
    int descriptor = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
    struct dirent *entry;
    if (lies->stale || !directory)
        return answered(-1);
    while ((entry = readdir(directory))) {
        struct stat found = { .st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12 };
        if (fill(into, entry->d_name, &found, 0, 0))
            break;
    }
    closedir(directory);
    return 0;
}

static int look_at_volume(const char *path, struct statvfs *found) { return answered(fstatvfs(root, found)); }

static const struct fuse_operations operations = {
    .init = begin, .getattr = get_attributes, .readlink = read_link, .symlink = make_link, .mknod = make_node,
    .mkdir = make_directory, .unlink = remove_name, .rmdir = remove_directory, .rename = rename_name,
    .link = link_name, .chmod = change_mode, .chown = change_owner, .utimens = change_times, .truncate = cut,
    .open = open_file, .create = make_file, .release = close_file, .fsync = sync_file, .fsyncdir = sync_directory,
    .read = read_file, .write = write_file, .readdir = list, .statfs = look_at_volume,
};

int main(int count, char **words)
{
    if (count != 4)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(0);
    root = open(words[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int shared = open(words[2], O_RDWR | O_CLOEXEC);
    lies = mmap(NULL, sizeof *lies, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (root < 0 || lies == MAP_FAILED)
        return 1;
    char *arguments[] = { words[0], "-f", "-s", "-o", "default_permissions,allow_other,subtype=share", words[3], NULL };
    return fuse_main(6, arguments, &operations, NULL);
}
