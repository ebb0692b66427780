/* Runs one process and all that it starts, and strikes at chosen system calls on the files below one directory.
 *
 * What strace's `-e inject=` does, and three things that it can not do: it counts only the calls that touch the
 * directory (by path or by descriptor), it counts the consumer and its runner apart, and it can let a call happen
 * and report an error all the same, as a network file system does. A seccomp filter lets every other call run at
 * full speed. Sleeps are cut short. Built by injector.py; x86-64 only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHORT 300 /* microseconds: what every sleep becomes, SQLite's own among them */

enum { KILL = 1, FAIL = 2, LIE = 3 };
enum { NONE = -1, MAIN = 0, RUNNER = 1, COMMAND = 2 };

struct fault {
    int nr, kind;    /* which system call, of which process */
    long at;         /* its n-th call, counted from 1 */
    int action, error;
    int struck;      /* out: whether it was reached */
};

/* How a call names its files: a descriptor, a path, or a directory's descriptor and a path. */
struct known { int nr; const char *name; int fd, path, fd2, path2; };
#define BY_FD(name, at) {SYS_##name, #name, at, NONE, NONE, NONE}
#define BY_PATH(name, at) {SYS_##name, #name, NONE, at, NONE, NONE}
#define AT(name) {SYS_##name, #name, 0, 1, NONE, NONE}
static const struct known CALLS[] = {
    AT(openat), AT(mkdirat), AT(unlinkat), AT(newfstatat), AT(mknodat), AT(faccessat), AT(faccessat2),
    AT(fchmodat), AT(readlinkat), AT(utimensat), AT(statx),
    {SYS_renameat, "renameat", 0, 1, 2, 3}, {SYS_renameat2, "renameat2", 0, 1, 2, 3},
    {SYS_linkat, "linkat", 0, 1, 2, 3}, {SYS_rename, "rename", NONE, 0, NONE, 1}, {SYS_link, "link", NONE, 0, NONE, 1},
    BY_PATH(open, 0), BY_PATH(mkdir, 0), BY_PATH(rmdir, 0), BY_PATH(unlink, 0), BY_PATH(mknod, 0), BY_PATH(stat, 0),
    BY_PATH(lstat, 0), BY_PATH(access, 0), BY_PATH(chmod, 0), BY_PATH(readlink, 0), BY_PATH(statfs, 0),
    BY_PATH(inotify_add_watch, 1),
    BY_FD(read, 0), BY_FD(write, 0), BY_FD(pread64, 0), BY_FD(pwrite64, 0), BY_FD(writev, 0), BY_FD(fsync, 0),
    BY_FD(fdatasync, 0), BY_FD(syncfs, 0), BY_FD(ftruncate, 0), BY_FD(fallocate, 0), BY_FD(fcntl, 0), BY_FD(flock, 0),
    BY_FD(fstat, 0), BY_FD(fstatfs, 0), BY_FD(fchmod, 0), BY_FD(fchown, 0), BY_FD(getdents64, 0), BY_FD(close, 0),
    BY_FD(sendfile, 0), BY_FD(copy_file_range, 2),
};
#define KNOWN ((int)(sizeof CALLS / sizeof *CALLS))

const char *injector_name(int at) { return at < KNOWN ? CALLS[at].name : NULL; }
int injector_number(int at) { return CALLS[at].nr; }

/* ------------------------------------------------------------------ in the process that is to be struck */

int injector_prepare(void) {
    struct sock_filter filter[4 + KNOWN + 2];  /* and the two sleeps */
    int n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < KNOWN; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[i].nr, KNOWN - i + 2, 0);
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_nanosleep, 2, 0);
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 1, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = n, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* ------------------------------------------------------------------ who is who */

struct tracee {
    pid_t tid, tgid;
    int kind, call, lie, stolen;
    char path[2048];
    long n;
};
static struct tracee tracees[256];
static int count;

static struct tracee *find(pid_t tid) {
    for (int i = 0; i < count; i++)
        if (tracees[i].tid == tid) return &tracees[i];
    return NULL;
}

static int status_of(pid_t tid, pid_t *tgid, pid_t *parent) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "Tgid: %d", tgid);
        sscanf(line, "PPid: %d", parent);
    }
    fclose(file);
    return 0;
}

static struct tracee *meet(pid_t tid, pid_t root) {
    struct tracee *found = find(tid);
    if (found || count == 256) return found;
    pid_t tgid = tid, parent = 0;
    if (status_of(tid, &tgid, &parent)) return NULL;
    struct tracee *group = find(tgid), *above = find(parent);
    struct tracee *met = &tracees[count++];
    memset(met, 0, sizeof *met);
    met->tid = tid, met->tgid = tgid, met->call = NONE;
    met->kind = tgid == root ? MAIN : group ? group->kind : above && above->kind == MAIN ? RUNNER : COMMAND;
    return met;
}

static void forget(pid_t tid) {
    struct tracee *found = find(tid);
    if (found) *found = tracees[--count];
}

/* ------------------------------------------------------------------ what a call is about */

static void read_string(pid_t tid, unsigned long address, char *into, size_t size) {
    struct iovec here = {into, size - 1};
    size_t got = 0;
    while (got < size - 1) {
        size_t page = 4096 - (address + got) % 4096, want = page < size - 1 - got ? page : size - 1 - got;
        here.iov_base = into + got, here.iov_len = want;
        struct iovec there = {(void *)(address + got), want};
        ssize_t found = process_vm_readv(tid, &here, 1, &there, 1, 0);
        if (found <= 0) break;
        if (memchr(into + got, 0, found)) return;
        got += found;
    }
    into[got] = 0;
}

static void path_of_fd(pid_t tid, int fd, char *into, size_t size) {
    char link[64];
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", tid);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, fd);
    ssize_t length = readlink(link, into, size - 1);
    into[length > 0 ? length : 0] = 0;
}

static void resolve(pid_t tid, int fd, const char *path, char *into, size_t size) {
    int number;
    if (sscanf(path, "/proc/self/fd/%d", &number) == 1) { path_of_fd(tid, number, into, size); return; }
    if (*path == '/') { snprintf(into, size, "%s", path); return; }
    path_of_fd(tid, fd, into, size);
    size_t length = strlen(into);
    if (*path) snprintf(into + length, size - length, "/%s", path);
}

static const char *below(const char *root, const char *path) {
    size_t length = strlen(root);
    if (strncmp(root, path, length) || (path[length] && path[length] != '/')) return NULL;
    return path[length] ? path + length + 1 : ".";
}

static int name_file(pid_t tid, const unsigned long *args, int fd, int path, const char *root, char *into, size_t size) {
    char text[4096] = "", full[4608] = "";
    if (path != NONE) {
        read_string(tid, args[path], text, sizeof text);
        resolve(tid, fd == NONE ? AT_FDCWD : (int)args[fd], text, full, sizeof full);
    } else
        path_of_fd(tid, (int)args[fd], full, sizeof full);
    const char *found = below(root, full);
    snprintf(into, size, "%s", found ? found : "(elsewhere)");
    return found != NULL;
}

static int touches(struct tracee *who, const struct known *call, const unsigned long *args, const char *root) {
    char second[1024];
    int yes = name_file(who->tid, args, call->fd, call->path, root, who->path, 1000);
    if (call->path2 == NONE) return yes;
    yes |= name_file(who->tid, args, call->fd2, call->path2, root, second, sizeof second);
    size_t length = strlen(who->path);
    snprintf(who->path + length, sizeof who->path - length, " -> %s", second);
    return yes;
}

/* ------------------------------------------------------------------ the run */

struct run {
    pid_t main;
    const char *root;
    struct fault *faults;
    int nfaults;
    FILE *log;
    long counts[3][512];
};

static const char *const KINDS[] = {"main", "runner", "command"};

static void note(struct run *run, const struct tracee *who, const char *result) {
    if (!run->log) return;
    fprintf(run->log, "%s\t%s\t%ld\t%s\t", KINDS[who->kind], CALLS[who->call].name, who->n, result);
    for (const char *at = who->path; *at; at++) fputc(*at < ' ' && *at >= 0 ? '?' : *at, run->log);
    fputc('\n', run->log);
}

/* At a call's entry: strike, or let it run. Returns the ptrace request to go on with. */
static int enter(struct run *run, struct tracee *who) {
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, who->tid, 0, &regs)) return PTRACE_CONT;
    if (regs.orig_rax == SYS_nanosleep || regs.orig_rax == SYS_clock_nanosleep) {
        usleep(SHORT);
        regs.orig_rax = -1, regs.rax = 0;
        ptrace(PTRACE_SETREGS, who->tid, 0, &regs);
        return PTRACE_CONT;
    }
    unsigned long args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    who->call = NONE;
    for (int i = 0; i < KNOWN; i++)
        if (CALLS[i].nr == (int)regs.orig_rax) who->call = i;
    if (who->call == NONE || !touches(who, &CALLS[who->call], args, run->root)) { who->call = NONE; return PTRACE_CONT; }
    who->n = ++run->counts[who->kind][CALLS[who->call].nr];
    who->lie = 0;
    for (int i = 0; i < run->nfaults; i++) {
        struct fault *fault = &run->faults[i];
        if (fault->nr != CALLS[who->call].nr || fault->kind != who->kind || fault->at != who->n) continue;
        fault->struck = 1;
        if (fault->action == KILL) {
            note(run, who, "killed");
            kill(who->tgid, SIGKILL);
            return NONE;
        }
        if (fault->action == LIE) { who->lie = fault->error; break; }
        regs.orig_rax = -1, regs.rax = -fault->error;
        ptrace(PTRACE_SETREGS, who->tid, 0, &regs);
        note(run, who, strerrorname_np(fault->error));
        who->call = NONE;
        return PTRACE_CONT;
    }
    return PTRACE_SYSCALL;  /* stop again at its exit, for the result */
}

static void leave(struct run *run, struct tracee *who) {
    struct user_regs_struct regs;
    if (who->call == NONE || ptrace(PTRACE_GETREGS, who->tid, 0, &regs)) return;
    long result = (long)regs.rax;
    char text[48];
    if (who->lie && result >= 0) {
        regs.rax = -who->lie;
        ptrace(PTRACE_SETREGS, who->tid, 0, &regs);
        snprintf(text, sizeof text, "lie %s", strerrorname_np(who->lie));
    } else if (result < 0 && result > -4096)
        snprintf(text, sizeof text, "%s", strerrorname_np(-result));
    else
        snprintf(text, sizeof text, "%ld", result);
    note(run, who, text);
    who->call = NONE, who->lie = 0;
}

static void stopped(struct run *run, struct tracee *who, int status) {
    int signal = WSTOPSIG(status), event = status >> 16, request = PTRACE_CONT;
    if (event == PTRACE_EVENT_SECCOMP) {
        request = enter(run, who);
        signal = 0;
    } else if (signal == (SIGTRAP | 0x80)) {
        leave(run, who);
        signal = 0;
    } else if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN)) {
        request = PTRACE_LISTEN;
        signal = 0;
    } else if (event) {
        /* Race: a child that has not run yet holds its parent's locks; it is waited for although it never reports. */
        unsigned long child;
        int forked = event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE;
        if (forked && !ptrace(PTRACE_GETEVENTMSG, who->tid, 0, &child)) meet((pid_t)child, run->main);
        signal = 0;
    }
    if (request != NONE) ptrace(request, who->tid, 0, (void *)(long)signal);
}

static void on_alarm(int number) { (void)number; }

static void set_alarm(double seconds) {
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {(long)seconds, 0}, .it_interval = {0, 100000}};
    if (seconds <= 0) memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Follow `pid` (a child that waits for a byte on `go`) and its descendants until all are gone.
 * Returns the wait status of `pid`, or -1 when patience was over and everything was killed. */
int injector_drive(pid_t pid, int go, const char *root, struct fault *faults, int nfaults, const char *log, double patience) {
    static struct run run;
    memset(&run, 0, sizeof run);
    run.main = pid, run.root = root, run.faults = faults, run.nfaults = nfaults, run.log = log ? fopen(log, "w") : NULL;
    count = 0;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, pid, 0, options)) return -2;
    meet(pid, pid);
    if (write(go, "!", 1) != 1) return -2;
    set_alarm(patience);
    int result = 0, late = 0;
    while (count) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR) {
            late = 1;
            for (int i = 0; i < count; i++) kill(tracees[i].tgid, SIGKILL);
            continue;
        }
        if (tid < 0) break;
        if (WIFSTOPPED(status)) {
            struct tracee *who = meet(tid, pid);
            if (who) stopped(&run, who, status);
            else ptrace(PTRACE_CONT, tid, 0, 0);
            continue;
        }
        if (tid == pid) result = status;
        forget(tid);
    }
    set_alarm(0);
    if (run.log) fclose(run.log);
    return late ? -1 : result;
}
