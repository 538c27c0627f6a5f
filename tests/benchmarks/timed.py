"""Run a command and write the processor time of all its processes into a file.

    python timed.py FILE COMMAND [ARGUMENT ...]

Ranks that outlive their mpiexec count too: Linux makes them children of this process. SIGUSR1 is
passed on to the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command; return its status."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("prctl: this system does not give orphans to an ancestor")
    process = subprocess.Popen(sys.argv[2:])
    signal.signal(signal.SIGUSR1, lambda *_: process.send_signal(signal.SIGUSR1))
    seconds, result = 0.0, 1
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        seconds += usage.ru_utime + usage.ru_stime
        if pid == process.pid:
            process.returncode = result = os.waitstatus_to_exitcode(status)
    Path(sys.argv[1]).write_text(str(seconds))
    return result if result >= 0 else 128 - result


if __name__ == "__main__":
    sys.exit(main())
