"""Oracle: the sentences and exit statuses themselves."""

import os
import subprocess
import sys

import pytest

from landscape_mpi.command import EXIT_BAD_INPUT, CommandParser, run_alone
from landscape_mpi.errors import InputError


@pytest.fixture
def parser():
    made = CommandParser(prog="landscape_mpi.plot")
    made.add_argument("--normalize", choices=["filter", "layer"])
    made.add_argument("--out", required=True)
    return made


def test_unknown_option_names_the_nearest(parser):
    with pytest.raises(
        InputError, match=r"--normalise is not an option.*Did you mean --normalize\?"
    ):
        parser.parse_args(["--out=a.h5", "--normalise=filter"])


def test_abbreviations_are_refused(parser):
    with pytest.raises(InputError, match="--norm is not an option"):
        parser.parse_args(["--out=a.h5", "--norm=filter"])


def test_missing_and_wrong_values_raise_instead_of_exiting(parser):
    with pytest.raises(InputError, match="--out.* See landscape_mpi.plot --help"):
        parser.parse_args([])
    with pytest.raises(InputError, match="'cube' .*choose from"):
        parser.parse_args(["--out=a.h5", "--normalize=cube"])


def test_run_alone_prints_bad_input_once(capsys):
    def main(arguments):
        raise InputError("a.h5: is a directory")

    with pytest.raises(SystemExit) as stop:
        run_alone(main)
    assert stop.value.code == EXIT_BAD_INPUT
    assert capsys.readouterr().err == "error: a.h5: is a directory\n"


def test_an_unknown_option_is_named_before_the_one_it_was_meant_to_be(parser):
    with pytest.raises(InputError, match=r"--outt is not an option.*Did you mean --out\?"):
        parser.parse_args(["--outt=a.h5"])


def test_a_value_that_looks_like_an_option(parser):
    with pytest.raises(InputError, match="needs an equals sign"):
        parser.parse_args(["--out", "--normalize=filter"])


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)  # as head does after its lines
    done = subprocess.run(
        [sys.executable, "-m", "landscape_mpi.train", "--list", "data"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
