/* noamx.c - noamx COMMAND...: runs a command that Linux does not let use AMX
 *
 * A program has to ask the kernel before it touches AMX's tile registers. Here that question is
 * answered with EPERM, so that libraries which would use AMX fall back to AVX-512. x86-64 only.
 *
 * SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE // syscall
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REQ_XCOMP_PERM = 0x1023 }; // of arch_prctl; not in older headers

/* The filter's program: 32-bit loads of seccomp_data, jumps relative to the next line. */
static struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), // low half of arg 0
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REQ_XCOMP_PERM, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

int main(int argc, char **argv)
{
    enum { NOT_STARTED = 126 }; // as a shell says it
    const struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (argc < 2) {
        fprintf(stderr, "usage: noamx COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || // else only root may install a filter
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)) {
        fprintf(stderr, "noamx: no filter for system calls: %s\n", strerror(errno));
        return NOT_STARTED;
    }
    execvp(argv[1], argv + 1);
    fprintf(stderr, "noamx: %s: %s\n", argv[1], strerror(errno));
    return NOT_STARTED;
}
