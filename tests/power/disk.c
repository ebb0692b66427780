/* One file that is a disk: what a loop device writes to it and when it flushes is logged, and both can be made to fail.
 *
 *     disk IMAGE LOG NUMBER FAULTS MOUNTPOINT
 *
 * MOUNTPOINT/disk is the image. Each write and each flush that succeeds becomes one record of LOG (struct record,
 * then the bytes), appended in one call, so that several disks may share a log and it tells their common order.
 * FAULTS is a mapped file (struct faults) through which a test says what fails next. The process ends with the thread
 * that started it.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH = 2 };

struct record { uint32_t kind, disk; uint64_t offset, length; };
struct faults { int32_t error, passes, writes, flushes, failed; }; /* so many pass, then so many fail; below 0: all */

static int image, log_file;
static uint32_t number;
static off_t size;
static struct faults *faults;

static int append(uint32_t kind, const char *bytes, size_t length, off_t offset)
{
    struct record head = { kind, number, (uint64_t)offset, length };
    struct iovec parts[2] = { { &head, sizeof head }, { (void *)bytes, length } };
    return writev(log_file, parts, 2) == (ssize_t)(sizeof head + length) ? 0 : -EIO;
}

static int is_to_fail(int32_t *left)
{
    if (*left == 0)
        return 0;
    if (faults->passes > 0) {
        --faults->passes;
        return 0;
    }
    if (*left > 0)
        --*left;
    ++faults->failed;
    return 1;
}

static int get_attributes(const char *path, struct stat *found, struct fuse_file_info *file)
{
    memset(found, 0, sizeof *found);
    if (!strcmp(path, "/")) {
        found->st_mode = S_IFDIR | 0700;
        found->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, "/disk"))
        return -ENOENT;
    found->st_mode = S_IFREG | 0600;
    found->st_nlink = 1;
    found->st_size = size;
    return 0;
}

static int open_disk(const char *path, struct fuse_file_info *file)
{
    file->direct_io = 1; /* one request of the loop device is one write: of two it would take half for the whole */
    return strcmp(path, "/disk") ? -ENOENT : 0;
}

static int read_disk(const char *path, char *bytes, size_t length, off_t offset, struct fuse_file_info *file)
{
    ssize_t done = pread(image, bytes, length, offset);
    return done < 0 ? -errno : (int)done;
}

static int write_disk(const char *path, const char *bytes, size_t length, off_t offset, struct fuse_file_info *file)
{
    if (is_to_fail(&faults->writes))
        return -faults->error;
    ssize_t done = pwrite(image, bytes, length, offset);
    if (done != (ssize_t)length)
        return -EIO;
    return append(WRITE, bytes, length, offset) ? -EIO : (int)done;
}

static int flush_disk(const char *path, int data_only, struct fuse_file_info *file)
{
    if (is_to_fail(&faults->flushes))
        return -faults->error;
    return append(FLUSH, NULL, 0, 0);
}

static const struct fuse_operations operations = {
    .getattr = get_attributes, .open = open_disk, .read = read_disk, .write = write_disk, .fsync = flush_disk,
};

int main(int count, char **words)
{
    struct stat found;
    if (count != 6)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    image = open(words[1], O_RDWR | O_CLOEXEC);
    log_file = open(words[2], O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    number = (uint32_t)words[3][0] - '0';
    int shared = open(words[4], O_RDWR | O_CLOEXEC);
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (image < 0 || log_file < 0 || faults == MAP_FAILED || fstat(image, &found))
        return 1;
    size = found.st_size;
    char *arguments[] = { words[0], "-f", "-s", words[5], NULL };
    return fuse_main(4, arguments, &operations, NULL);
}
