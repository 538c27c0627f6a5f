"""The script for the first minutes on a GPU, on what is here; its parts check their own numbers.

Oracle: a part that is made to fail or to hang, beside those that go well.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from folders import TESTS

SCRIPT = TESTS / "benchmarks/gpu.py"
SMALL = ["--model", "resnet8", "--images", "40", "--batches", "16"]
sys.path.insert(0, str(SCRIPT.parent))
PARTS = "correctness,batch and type,hessian"


def run(tmp_path, *words, device="cpu"):
    """Run the script; return how it ended, and its lines."""
    command = [sys.executable, str(SCRIPT), *SMALL, "--device", device, *words]
    lines = tmp_path / "lines.jsonl"
    done = subprocess.run(
        [*command, f"--lines={lines}"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    return done, [json.loads(line) for line in lines.read_text().splitlines()]


def test_every_part_ends_with_a_line_and_a_row(tmp_path):
    page = tmp_path / "page.md"
    done, lines = run(tmp_path, f"--parts={PARTS}", f"--page={page}")
    assert done.returncode == 0, done.stderr
    assert [line["part"] for line in lines] == PARTS.split(",")
    said = [word for word in done.stdout.splitlines() if word.startswith("{")]
    assert [json.loads(word) for word in said] == lines
    found = {line["part"]: line["found"] for line in lines}
    assert found["correctness"]["fp32"] < 1e-5
    assert found["batch and type"]["fp32 16"]["point_s"] > 0
    rows = [row for row in page.read_text().splitlines() if row.startswith("| ")]
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} >= set(found)


@pytest.mark.fake_gpus
def test_every_part_passes_on_a_gpu(tmp_path):
    from gpu_parts import PARTS as ALL

    done, lines = run(tmp_path, "--limit-s=300", device="cuda:0")
    assert {line["part"]: line.get("error") for line in lines} == dict.fromkeys(ALL), done.stderr
    found = {line["part"]: line["found"] for line in lines}
    assert found["graphs"]["graph"] == found["graphs"]["after_that"] == "one CUDA graph per split"
    assert "operation not permitted" in found["graphs"]["reads_a_value"]
    assert all("out of memory" in words for words in found["memory"].values())
    assert found["batch and type"]["bf16 16"]["peak_gib"] > 0


def test_a_part_that_fails_or_hangs_does_not_stop_the_next(tmp_path):
    done, lines = run(tmp_path, "--parts=machine,memory", "--limit-s=0.2")
    assert done.returncode == 2
    assert [line["error"] for line in lines] == ["not done after 0.2 s"] * 2
    assert "| memory | " in done.stdout
    assert "FAILED | not done after 0.2 s" in done.stdout


def test_losses_that_are_not_those_of_float64_are_an_error(monkeypatch):
    import gpu_parts

    monkeypatch.setattr(gpu_parts, "exact_losses", lambda case: 1.0)
    asked = gpu_parts.asked_of("cpu", "resnet8", 16, "16")
    with pytest.raises(gpu_parts.WrongError, match="fp32 deviates from float64 by"):
        gpu_parts.correctness(asked)


def test_a_second_run_with_other_losses_is_an_error(monkeypatch):
    import gpu_parts

    exact = gpu_parts.np.full(5, 2.3)
    found = iter([exact, exact + 1e-9])
    monkeypatch.setattr(gpu_parts, "exact_losses", lambda case: exact)
    monkeypatch.setattr(gpu_parts, "losses_at", lambda plane: next(found))
    asked = gpu_parts.asked_of("cpu", "resnet8", 16, "16")
    with pytest.raises(gpu_parts.WrongError, match="other losses the second time"):
        gpu_parts.correctness(asked)
