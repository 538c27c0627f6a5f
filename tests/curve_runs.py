"""Run landscape_mpi.curve in this process, and train two solutions for it to join."""

import contextlib
import io
import signal
import sys
from unittest import mock

from landscape_mpi import curve, train
from landscape_mpi.cluster import guard
from landscape_mpi.cluster.communicator import start_ranks

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def run(*argv):
    """Run the command as the ranks that there are; return its status, and what it printed."""
    words = [str(word) for word in argv]
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["landscape_mpi.curve", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        options, problem = guard.parse_or_problem(curve.parse, words)
        status = guard.run_guarded(curve.main, options, problem, start_ranks())
    for number, handler in before.items():
        signal.signal(number, handler)
    return status, out.getvalue(), err.getvalue()


def train_ends(folder, *, model="resnet8"):
    """Train two networks on the digits from two seeds, for an epoch, as 1.pt and 2.pt."""
    for seed in (1, 2):
        words = [f"--model={model}", "--data=digits", "--epochs=1", f"--seed={seed}"]
        with contextlib.redirect_stdout(io.StringIO()):
            train.main([*words, f"--out={folder}/{seed}.pt", "--threads=1"])
    return folder


def digits(folder, *, model="resnet8"):
    """Return the options that name these two."""
    ends = (f"--start={folder}/1.pt", f"--end={folder}/2.pt")
    return (f"--model={model}", "--data=digits", "--threads=1", *ends)
