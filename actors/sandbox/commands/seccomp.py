"""The system-call filter of the local level: classic BPF, made by hand, for two machines.

Everything a compiler, test runner or server needs is allowed. Refused are the roads into the
kernel or out of the namespaces: mounts and namespaces, modules, tracing (the exit status comes
from a process inside), keys, clocks, io_uring, exotic sockets. Calls newer than this table do
not exist (ENOSYS), so that libraries fall back.
"""

import errno
import platform
import struct

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_X32 = 0x40000000
_NEWEST = 466
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES = 0x7E020000
_CLONE3 = 435
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. AF_VSOCK is in no namespace: a road to the hypervisor."""
_TERMINAL_INJECTION = (0x5412, 0x541C)
_QUERY_PERSONALITY = (0, 0xFFFFFFFF)
_CHECKED = {
    "x86_64": {"clone": 56, "socket": 41, "ioctl": 16, "personality": 135},
    "aarch64": {"clone": 220, "socket": 198, "ioctl": 29, "personality": 92},
}
_REFUSED_EVERYWHERE = (
    *(425, 426, 427),  # io_uring
    *(428, 429, 430, 431, 432, 433, 442),  # the new mount interface
    *(438, 440, 443),  # pidfd_getfd, process_madvise, quotactl_fd
)
_REFUSED: dict[str, tuple[int, ...]] = {
    "x86_64": (
        *(163, 248, 249, 250, 159, 305, 227, 164),  # acct, keys, clocks
        *(321, 161, 174, 175, 176, 313, 177, 178),  # bpf, chroot, modules
        *(300, 165, 166, 155, 256, 279, 172, 173),  # fanotify, mounts, pages, port I/O
        *(312, 246, 320, 212, 303, 304, 180, 298),  # kcmp, kexec, handles, perf
        *(310, 311, 101, 179, 169, 170, 171, 308),  # other processes, quota, reboot, names, setns
        *(167, 168, 103, 272, 323, 134, 139, 156, 153, 154),  # swap, syslog, unshare, userfaultfd
    ),
    "aarch64": (
        *(89, 217, 218, 219, 171, 266, 112, 170),
        *(280, 51, 105, 106, 273),
        *(262, 40, 39, 41, 238, 239),
        *(272, 104, 294, 18, 264, 265, 42, 241),
        *(270, 271, 117, 60, 142, 161, 162, 268),
        *(224, 225, 116, 97, 282, 58),
    ),
}


def _op(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, value)


def _refuse(number: int) -> bytes:
    return _op(_RET, _ERRNO | number)


def _when(call: int, body: bytes) -> bytes:
    """Run `body` for that call; it ends in a verdict."""
    return _op(_JEQ, call, 0, len(body) // 8) + body


def _argument_in(offset: int, values: tuple[int, ...], *, then: bytes, otherwise: bytes) -> bytes:
    tests = b"".join(_op(_JEQ, value, len(values) - index) for index, value in enumerate(values))
    return _op(_LD, offset) + tests + otherwise + then


def program(machine: str | None = None) -> bytes | None:
    """The filter as `struct sock_filter[]`, or None for a machine without a table."""
    machine = machine or platform.machine()
    if machine not in _AUDIT:
        return None
    calls, allow, deny = _CHECKED[machine], _op(_RET, _ALLOW), _refuse(errno.EPERM)
    parts = [
        _op(_LD, _ARCH) + _op(_JEQ, _AUDIT[machine], 1) + _op(_RET, _KILL),
        _op(_LD, _NR),
        _op(_JGE, _X32, 1) + _op(_JGE, _NEWEST + 1, 0, 1) + _refuse(errno.ENOSYS),
        _when(_CLONE3, _refuse(errno.ENOSYS)),
        *(_when(call, deny) for call in _REFUSED[machine] + _REFUSED_EVERYWHERE),
        _when(calls["clone"], _op(_LD, _ARG0) + _op(_JSET, _NEW_NAMESPACES, 1) + allow + deny),
        _when(
            calls["socket"],
            _argument_in(_ARG0, _FAMILIES, then=allow, otherwise=_refuse(errno.EAFNOSUPPORT)),
        ),
        _when(calls["ioctl"], _argument_in(_ARG1, _TERMINAL_INJECTION, then=deny, otherwise=allow)),
        _when(
            calls["personality"],
            _argument_in(_ARG0, _QUERY_PERSONALITY, then=allow, otherwise=deny),
        ),
        allow,
    ]
    return b"".join(parts)
