"""Oracle: values and sentences written out by hand."""

import argparse
import re
from importlib import import_module

import pytest

from landscape_mpi import options
from landscape_mpi.errors import InputError


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.whole_from_1, "12", 12),
        (options.whole_up_to(100_000), "100000", 100_000),
        (options.seed_number, "0", 0),
        (options.seed_number, str(2**63 - 1), 2**63 - 1),
        (options.number_from_0, "0", 0.0),
        (options.number_above_0, "1e-3", 0.001),
        (options.numbers, "0.5,-1", (0.5, -1.0)),
        (options.value_range, "0.1:10", (0.1, 10.0)),
        (options.value_range, ":10", (None, 10.0)),
        (options.value_range, "-3:", (-3.0, None)),
        (options.color_map, "coolwarm", "coolwarm"),
        (options.color_map, "viridis_r", "viridis_r"),
        (options.ignored_number, "-100", -100),
        (options.ignored_number, "255", 255),
        (options.ignored_number, "none", "none"),
        (options.class_weights, "0,20,1e-3", (0.0, 20.0, 0.001)),
        (options.names_of("train", "test"), "test,train", ("train", "test")),
        (options.names_of("bias", "bn", none="none"), "none", ()),
    ],
)
def test_values(kind, text, value):
    assert kind(text) == value


def test_words_come_first_and_patterns_in_one_order():
    parse = options.patterns_and("bias", "bn", none="none")
    assert parse("b*, bn,a.*,bias") == parse("a.*,bias,bn,b*") == ("bias", "bn", "a.*", "b*")
    assert parse("none") == ()


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (options.whole_from_1, "0", "'0' is not a whole number from 1 to 10**9."),
        (options.whole_from_1, "1.5", "'1.5' is not a whole number from 1 to 10**9."),
        (options.whole_from_1, "²", "'²' is not a whole number from 1 to 10**9."),
        (options.whole_up_to(1024), "1025", "'1025' is not a whole number from 1 to 1,024."),
        (options.whole_up_to(1024), "0", "'0' is not a whole number from 1 to 1,024."),
        (options.seed_number, "-1", "'-1' is not a whole number from 0 to 2**63 - 1."),
        (options.seed_number, str(2**63), "is not a whole number from 0 to 2**63 - 1."),
        (options.number_from_0, "-1", "'-1' is not a finite number of at least 0."),
        (options.number_from_0, "nan", "'nan' is not a finite number of at least 0."),
        (options.number_from_0, "inf", "'inf' is not a finite number of at least 0."),
        (options.number_from_0, "1,2", "'1,2' is not a finite number of at least 0."),
        (options.number_above_0, "0", "'0' is not above 0."),
        (options.ignored_number, "void", "'void' is neither a whole number nor none."),
        (options.ignored_number, "1e3", "'1e3' is neither a whole number nor none."),
        (options.ignored_number, "--1", "'--1' is neither a whole number nor none."),
        (options.class_weights, "1,-1", "'1,-1' is not a list of finite weights of at least 0"),
        (options.class_weights, "nan,1", "'nan,1' is not a list of finite weights"),
        (options.class_weights, "0,0", "'0,0' is not a list of finite weights"),
        (
            options.numbers,
            "a,1",
            "'a,1' is not a number, nor a list of numbers separated by commas.",
        ),
        (options.numbers, "", "'' is not a number"),
        (options.value_range, "10", "'10' is not a range. Pass LOW:HIGH with LOW below HIGH"),
        (options.value_range, ":", "':' is not a range."),
        (options.value_range, "2:1", "'2:1' is not a range."),
        (options.value_range, "1:1", "'1:1' is not a range."),
        (options.value_range, "a:1", "'a:1' is not a range."),
        (options.value_range, ":nan", "':nan' is not a range."),
        (options.value_range, "1:2:3", "'1:2:3' is not a range."),
        (options.color_map, "virdis", "'virdis' is not one of viridis, plasma, inferno, magma,"),
        (options.color_map, "virdis", "which reverses it. Did you mean viridis?"),
        (options.color_map, "jet", "'jet' is not one of"),
        (options.color_map, "viridis_r_r", "'viridis_r_r' is not one of"),
        (
            options.names_of("train", "test"),
            "tset",
            "is not one of train, test. Did you mean test?",
        ),
        (options.names_of("train"), "", "'' is not one of train."),
        (options.names_of("bias", "bn", none="none"), "x", "not one of bias, bn, none."),
        (options.patterns_and("bn"), "bn,,x", "'bn,,x' contains an empty name."),
        (
            options.patterns_and(none="none"),
            "a,none",
            "'a,none' contains 'none' beside other names.",
        ),
    ],
)
def test_what_is_no_value(kind, text, words):
    with pytest.raises(argparse.ArgumentTypeError) as problem:
        kind(text)
    assert words in str(problem.value)


BILLION = "1000000000"
# Every whole number whose size makes a run longer, or takes memory, of every command.
COUNTS = {
    "train": ("--epochs", "--threads"),
    "ensemble": ("--epochs", "--threads", "--measures"),
    "curve train": ("--epochs", "--threads"),
    "curve evaluate": ("--points",),
    "curve barriers": ("--points",),
    "surface": ("--repeats",),
    "hessian": ("--basis", "--top"),
    "sharpness": ("--fresh-networks",),
    "bench": ("--classes", "-n"),
}


@pytest.mark.parametrize(
    ("command", "option"), [(name, option) for name, found in COUNTS.items() for option in found]
)
def test_a_number_without_sense_is_refused_with_the_largest_that_has_some(command, option):
    name, *subcommand = command.split()
    module = import_module(f"landscape_mpi.{name}")
    parse = module.parse if hasattr(module, "parse") else module.make_parser().parse_args
    told = f"argument {option}: '{BILLION}' is not a whole number from 1 to "
    with pytest.raises(InputError, match=re.escape(told) + r"[\d,]{5,9}\. See"):
        parse([*subcommand, option, BILLION])
