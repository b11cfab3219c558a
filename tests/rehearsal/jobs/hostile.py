"""A customer's script that tries to get at what is not the customer's; it tells what it got."""

import ctypes
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platform_core

TMP = bytes(Path("/", "tmp"))


def main(marker: str, names: list[str], addresses: list[str], nonce: int) -> dict[str, object]:
    """Every attempt under its name: what it got, or nothing.

    `marker` is what a job of another customer left on this worker; `names` and `addresses` are host:port of
    the servers. `own` and `sum` prove that the job ran, saw files and processes, and could have told.
    """
    own = Path("/proc/self/environ").read_bytes()
    attempts: dict[str, Callable[[], Iterable[str]]] = {
        "the environment of its worker": environments,
        "the memory of process 1": memory,
        "processes that are not its own": processes,
        "the files of secrets": secrets,
        "files of another customer's job": lambda: marked(marker),
        "files that later jobs run": poison,
        "the servers by their names": lambda: reached(names),
        "the servers by their addresses": lambda: reached(addresses),
        "the database without a password": database,
        "the engine": engine,
        "more rights": rights,
        "mounts and namespaces of its own": mounts,
    }
    return {
        "got": {name: sorted(set(attempt()))[:5] for name, attempt in attempts.items()},
        "own": b"WM_TOKEN" in own and Path(platform_core.__file__).is_file() and os.getpid() > 0,
        "sum": nonce + 1,
    }


def environments() -> Iterator[str]:
    """Whatever process shows a secret of the worker, this one among them."""
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = file.read_bytes()
        except OSError:
            continue
        for word in (b"DATABASE_URL=", b"SECRET_SALT=", b"SUPERADMIN_SECRET=", b"PLATFORM_SECRETS="):
            if word in content:
                yield f"{file}: {word.decode()}"


def memory() -> Iterator[str]:
    """Process 1 of the job's own processes is one of its own; the worker's memory must not be behind it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"windmill\0" in (process / "cmdline").read_bytes()[:12]:
                with (process / "mem").open("rb"):
                    yield str(process / "mem")
        except OSError:
            continue


def processes() -> Iterator[str]:
    """Only the job's own: Python, and what started it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if command.startswith(
            ("windmill", "/sbin/docker-init", "/faulty", "/opt/platform/bin/platform-windmill")
        ):
            yield command
    for number in range(2, 2000):  # also those that /proc does not show
        if not Path(f"/proc/{number}").exists():
            try:
                os.kill(number, 0)
            except ProcessLookupError:
                continue
            except PermissionError:
                yield f"process {number} is there"


def secrets() -> Iterator[str]:
    """Mounted for the worker's root, who is gone."""
    for folder in ("/run/secrets", "/proc/1/root/run/secrets", "/run/platform"):
        try:
            files = list(Path(folder).iterdir())
        except OSError:
            continue
        for file in files:
            try:
                content = file.read_bytes()
            except OSError:
                continue
            if b"BEGIN CERTIFICATE" not in content:  # the authority's certificate is public
                yield f"{file}: {len(content)} bytes"


def marked(marker: str) -> Iterator[str]:
    """What the other customer's job wrote into its folder, /tmp and the caches, by name and by content."""
    for root in ("tmp", "dev/shm", "var/lib/windmill", "var/tmp", "media", "mnt", "run"):
        for folder, _, files in os.walk(Path("/", root)):
            for name in files:
                path = Path(folder) / name
                if "args.json" in name:  # this job's own: it holds the marker as an argument
                    continue
                try:
                    if marker in name or marker.encode() in path.read_bytes()[:65536]:
                        yield str(path)
                except OSError:
                    continue


def poison() -> Iterator[str]:
    """Packages, caches and the home, which later jobs of others import from or start in."""
    for folder in (
        "/opt/platform/python",
        "/opt/platform/python/platform_core",
        "/opt/platform/bin",
        "/opt/platform/home",
        "/var/lib/windmill/cache/python_3_12",
        "/usr/local/bin",
        "/etc",
    ):
        try:
            (Path(folder) / "poison.py").write_text("raise SystemExit")
        except OSError:
            continue
        yield folder


def reached(places: list[str]) -> Iterable[str]:
    """Windmill's servers, the proxy's inner ports, the door, the host: by a connection that opens."""
    with ThreadPoolExecutor(len(places)) as hands:
        return [place for place, opens in zip(places, hands.map(_opens, places), strict=True) if opens]


def _opens(place: str) -> bool:
    host, port = place.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=3):
            return True
    except OSError:
        return False


def database() -> Iterable[str]:
    """It may be reached, for the customer's own login; nobody else is let in, with TLS or without."""
    code = """
import psycopg, sys
for login in ("postgres", "windmill", "windmill_a", "windmill_admin", "backup"):
    for mode in ("disable", "require"):
        try:
            psycopg.connect(host="postgres", user=login, dbname="windmill", sslmode=mode,
                            password="not-a-real-one", connect_timeout=3)
        except psycopg.OperationalError:
            continue
        print(login, "by", mode)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def engine() -> Iterator[str]:
    """The engine's socket, and what a hoster tells a machine about itself."""
    if Path("/var/run/docker.sock").exists():
        yield "/var/run/docker.sock"
    try:
        with urllib.request.urlopen("http://169.254.169.254/", timeout=1) as answer:
            yield f"metadata {answer.status}"
    except urllib.error.HTTPError as error:
        yield f"metadata {error.code}"
    except OSError:
        return


def rights() -> Iterator[str]:
    """Another user, a device, the kernel's settings."""
    status = Path("/proc/self/status").read_text()
    for line in status.splitlines():
        if line.startswith(("CapEff", "CapPrm", "CapBnd", "CapAmb")) and int(line.split()[1], 16):
            yield line
    if "NoNewPrivs:\t1" not in status:
        yield "new privileges"
    for what, act in RIGHTS.items():
        try:
            act()
        except OSError:
            continue
        yield what


RIGHTS: dict[str, Callable[[], object]] = {
    "setuid": lambda: os.setuid(1),
    "device": lambda: os.mknod(Path("/", "tmp", "disk"), 0o60600, os.makedev(254, 0)),
    "chroot": lambda: os.chroot(Path("/", "tmp")),
    "sysctl": lambda: Path("/proc/sys/kernel/core_pattern").write_text("|x"),
    "sysrq": lambda: Path("/proc/sysrq-trigger").write_text("h"),
    "namespaces": lambda: Path("/proc/sys/user/max_user_namespaces").write_text("100"),
}


def mounts() -> Iterator[str]:
    """By the kernel's own calls: what lies under the job's mounts must not come back."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(b"/var/lib/windmill", 2) == 0 or libc.umount2(TMP, 2) == 0:
        yield "umount"
    if libc.mount(b"none", TMP, b"tmpfs", 6, None) == 0:
        yield "mount"
    for flags in (0x10000000, 0x10020000, 0x40000000):
        if libc.unshare(flags) == 0:
            yield f"unshare {flags:#x}"
