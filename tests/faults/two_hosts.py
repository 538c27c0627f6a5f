"""Two hosts on this machine: network namespaces that are joined by one wire, which can be cut."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.213.77"


@dataclass(frozen=True)
class TwoHosts:
    """Names of two namespaces, which are also those of the hosts."""

    names: tuple[str, str]
    agent: Path  # takes the place of ssh

    def launcher(self) -> list[str]:
        """Return the words that start one rank of a command on each host."""
        settings = {
            "plm_rsh_agent": f"{self.agent}",
            "oob_tcp_if_include": "wire",
            "btl_tcp_if_include": "wire",
            "btl": "tcp,self",
            "pml": "ob1",
        }
        words = ["mpirun", "-n", "2", "--host", ",".join(f"{name}:1" for name in self.names)]
        words += [word for name, text in settings.items() for word in ("--mca", name, text)]
        here = ["ip", "netns", "exec", self.names[0], "unshare", "--uts"]
        return [*here, "sh", "-c", 'hostname "$0" && exec "$@"', self.names[0], *words]

    def cut(self) -> None:
        """Take the wire down. Neither end notices: packets are lost, and no connection ends."""
        ip("-n", self.names[0], "link", "set", "dev", "wire", "down")


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """Make two hosts, and end what runs on them afterwards.

    Raises:
        OSError: If this user may make none or may run nothing on them, or for another launcher.
    """
    if "(Open MPI) 4." not in run("mpirun", "--version"):
        raise OSError("mpirun is not that of Open MPI 4")
    # Drawn, since the processes of two containers have the same numbers. Open MPI shortens names by
    # their digits.
    drawn = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
    first, second = f"{drawn}a", f"{drawn}b"
    agent = folder / "agent.sh"
    agent.write_text(
        "#!/bin/sh\n"
        "host=$1; shift\n"
        'exec ip netns exec "$host" unshare --uts sh -c "hostname $host && $*"\n'
    )
    agent.chmod(0o755)
    with host(first), host(second):
        ends = f"-n {first} link add name wire type veth peer wire netns {second}"
        ip(*ends.split())
        for number, name in enumerate((first, second), 1):
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "wire")
            for device in ("wire", "lo"):
                ip("-n", name, "link", "set", "dev", device, "up")
        run(f"{agent}", first, "true")
        yield TwoHosts((first, second), agent)


@contextlib.contextmanager
def host(name: str) -> Iterator[None]:
    """Make a host, and end what runs on it afterwards."""
    ip("netns", "add", name)
    try:
        yield
    finally:
        for word in ip("netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)
        ip("netns", "del", name)


def ip(*words: str) -> str:
    """Run a command of iproute2; return what it printed."""
    return run("ip", *words)


def run(*words: str) -> str:
    """Run a command; return what it printed.

    Raises:
        OSError: If it fails, or is not there.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as problem:
        raise OSError(f"{shlex.join(words)}: {problem.stderr.strip()}") from problem
    return done.stdout
