"""Oracle: what a person would call the same tensor, written down here name by name."""

import pytest

from landscape_mpi.tensor_names import best_fits, inner_names, plain_names, renamed_like


@pytest.mark.parametrize(
    ("names", "inner"),
    [
        (["a.weight", "b.weight"], ["a.weight", "b.weight"]),
        (["model.a.weight", "model.b.weight"], ["a.weight", "b.weight"]),
        (["module.net.a.weight", "module.net.b"], ["a.weight", "b"]),
        (["a._orig_mod.weight", "b.module.weight"], ["a.weight", "b.weight"]),
        (["0.weight", "0.bias"], ["weight", "bias"]),
        (["weight"], ["weight"]),
        ([], []),
    ],
)
def test_wrappers_and_what_all_are_in_do_not_count(names, inner):
    assert list(inner_names(names).values()) == inner


def test_names_that_only_a_wrapper_tells_apart_stay():
    names = ["a.weight", "a.module.weight", "b.module.weight"]
    assert list(plain_names(names).values()) == ["a.weight", "a.module.weight", "b.weight"]


@pytest.mark.parametrize(
    ("names", "wanted", "prefix"),
    [
        (["a.w", "b.w"], ["a.w", "b.w"], ""),
        (["model.a.w", "model.b.w"], ["a.w", "b.w"], "model."),
        (["a.w", "b.w"], ["net.a.w", "net.b.w"], ""),
        (["model.a.w", "model.b.w"], ["net.a.w", "net.b.w"], "model."),
        (["x.model.a.w", "x.model.b.w", "loss.w"], ["a.w", "b.w"], "x.model."),
        (["module.a._orig_mod.w", "module.b.w"], ["_orig_mod.a.w", "_orig_mod.b.w"], ""),
        (["model.layer4.w"], ["layer1.w", "layer4.w"], "model."),
    ],
)
def test_tensors_of_one_network_are_found_in_another(names, wanted, prefix):
    (fit,) = best_fits(names, wanted)
    assert fit.prefix == prefix
    ends = {name: [w for w in wanted if w.split(".")[-2] in name.split(".")] for name in names}
    assert fit.names == {name: end[0] for name, end in ends.items() if end}


def test_every_equally_good_fit_is_returned():
    fits = best_fits(["student.a", "student.b", "teacher.a", "teacher.b"], ["a", "b"])
    assert [fit.prefix for fit in fits] == ["student.", "teacher."]
    assert best_fits(["c"], ["a"]) == []


def test_what_has_no_counterpart_keeps_its_name():
    assert renamed_like(["m.a", "m.b", "loss"], ["a", "b"]) == {
        "m.a": "a",
        "m.b": "b",
        "loss": "loss",
    }
    assert renamed_like(["x"], ["y"]) == {"x": "x"}
