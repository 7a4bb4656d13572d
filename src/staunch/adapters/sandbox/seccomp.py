"""Which system calls a program in a sandbox may make (OCI runtime-spec, config-linux.md, "Seccomp").

As container engines do by default: what programs need is allowed, and all else answers "no such
call" (ENOSYS), which C libraries take as an older kernel and get along with. Left out is what
manages the machine or its name spaces (mounts, modules, clock, keys, bpf, perf events, reboot),
and io_uring, which had too many holes. Calls of the machine's other ABIs (32 bits) end the program.
"""

from __future__ import annotations

import platform

_ENOSYS = 38
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID and -NET
_AF_VSOCK = 40
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, Linux32, with UNAME26; asking

_FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr
flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents
getdents64 getxattr ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek
lsetxattr lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe
pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink
symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes
vmsplice write writev
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select signalfd signalfd4
timerfd_create timerfd_gettime timerfd_settime
"""
_MEMORY = """
brk cachestat get_mempolicy madvise map_shadow_stack membarrier memfd_create memfd_secret mincore
mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free
pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait
futex_waitv futex_wake getcpu getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid
getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid get_robust_list
ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
modify_ldt pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev
ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid
setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid
setrlimit setsid setuid set_robust_list set_tid_address sigaltstack tgkill tkill vfork wait4 waitid
"""
_MESSAGES = """
accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify
mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg
recvmsg semctl semget semop semtimedop sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget
shutdown socketpair
"""
_TIME_AND_SYSTEM = """
adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep getrandom gettimeofday nanosleep
sysinfo time timer_create timer_delete timer_getoverrun timer_gettime timer_settime times uname
"""
_ALLOWED = (_FILES, _WAITING, _MEMORY, _PROCESSES, _MESSAGES, _TIME_AND_SYSTEM)


def profile() -> dict[str, object]:
    """``linux.seccomp`` of a bundle for this machine's own programs."""
    names = sorted(name for group in _ALLOWED for name in group.split())
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": [_ARCHITECTURES[platform.machine()]],
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_ALLOW"},
            # clone3 keeps its flags in memory, where no filter can see them: C libraries go on
            # with clone when there is no such call
            _when("clone", "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES, 0),
            _when("socket", "SCMP_CMP_NE", _AF_VSOCK),
            *(_when("personality", "SCMP_CMP_EQ", each) for each in _PERSONALITIES),
        ],
    }


def _when(name: str, comparison: str, value: int, second: int | None = None) -> dict[str, object]:
    """Allow a call when its first argument compares so."""
    argument: dict[str, object] = {"index": 0, "value": value, "op": comparison}
    if second is not None:
        argument["valueTwo"] = second
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}
