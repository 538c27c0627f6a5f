"""The documentation: its links, its commands, the pages of the commands, and the first tutorial.

Oracles: the files of the checkout and the headings of its pages; what each command prints as its
own --help; the network and the surface that the tutorial's commands leave, beside torch alone.
mkdocs itself, with every warning an error, builds the pages in ``make docs``.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
import yaml
from command_modules import COMMANDS
from folders import ROOT
from pages import run_command
from sklearn.datasets import load_digits
from torch.nn import functional

import landscape_mpi
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

DOCS = ROOT / "docs"
OWN = sorted(DOCS.rglob("*.md"))
PAGES = [*OWN, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = {"", "sh", "bash"}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors_of(page):
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_every_link_leads_somewhere():
    dead = []
    for page in PAGES:
        text = re.sub(r"`[^`\n]+`", "", BLOCK.sub("", page.read_text()))
        for link in LINK.findall(text):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if re.match(r"https?:", link):
                continue
            if not target.exists() or (anchor and anchor not in anchors_of(target)):
                dead.append(f"{name_of(page)}: {link}")
    assert dead == []


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r": (\S+\.md)$", menu, re.M)
    assert len(listed) == len(set(listed))
    pages = {page.relative_to(DOCS).as_posix() for page in OWN}
    pages |= {"CONTRIBUTING.md", "CHANGELOG.md"}
    pages |= {name_of(page) for page in (ROOT / "examples").rglob("*.md")}
    assert set(listed) == pages


def links_of(page):
    """Return the pages to which a page links, outside its blocks."""
    links = (link.partition("#")[0] for link in LINK.findall(BLOCK.sub("", page.read_text())))
    return {(page.parent / link).resolve() for link in links if link.endswith(".md")}


def test_every_page_is_three_clicks_from_the_readme():
    found, ring = {ROOT / "README.md"}, {ROOT / "README.md"}
    for _ in range(3):
        ring = set().union(*map(links_of, ring)) - found
        found |= ring
    front = {DOCS / "index.md"}  # of the site, in the place of the README
    assert sorted(map(name_of, set(PAGES) - found - front)) == []


def test_every_page_leads_on():
    """A reader who has finished a page finds the next one in its text."""
    ends = [page for page in PAGES if not links_of(page) - {page}]
    assert list(map(name_of, ends)) == []


def command_lines(page):
    """Return the command lines in the blocks of a page, each in one piece."""
    lines = []
    for kind, text in BLOCK.findall(page.read_text()):
        if kind in SHELL:
            joined = text.replace("\\\n", " ")
            lines += [line for line in joined.splitlines() if line.strip()]
    return lines


def module_and_words(line):
    """Return the module that a line runs, and the words behind it; or None."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["mpirun", "-n"]:
        words = words[3:]
    if words[:2] == ["python", "-m"] and words[2].startswith("landscape_mpi."):
        return words[2].removeprefix("landscape_mpi."), words[3:]
    if words[0] in {"landscape-mpi", "launch/local.sh"}:
        return words[1], words[2:]
    return None


@pytest.mark.parametrize("page", [*OWN, ROOT / "README.md"], ids=name_of)
def test_the_commands_of_a_page_have_the_options_that_it_shows(page):
    script = load_script("command_pages")
    for line in command_lines(page):
        found = module_and_words(line)
        if found is None:
            continue
        name, words = found
        subcommand = words[0] if name == "curve" else None
        known = script.parser_of(name, subcommand)._option_string_actions
        for word in words:
            option = word.partition("=")[0]
            assert not option.startswith("--") or option in known, f"{line}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_has_a_block_that_the_tests_of_commands_do_not_see(page):
    """A block has its fences at the beginning of a line; a text is not indented to be a block."""
    rest = BLOCK.sub("", page.read_text())
    hidden = re.findall(r"^ +```.*$|^ {4,}(?:python|mpirun|make|export|lfs) .*$", rest, re.M)
    assert hidden == []


def test_scripts_and_targets_that_blocks_name_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for page in [*OWN, ROOT / "README.md"]:
        for line in command_lines(page):
            first = shlex.split(line, comments=True)[:2]
            if first and re.match(r"(launch|slurm|examples)/", first[0]):
                assert (ROOT / first[0]).exists(), line
            if first[:1] == ["make"]:
                assert re.search(rf"^{first[1]}:", makefile, re.M), line


def help_of(name, *subcommand):
    argv = [sys.executable, "-m", f"landscape_mpi.{name}", *subcommand, "--help"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_a_command_has_the_options_and_words_of_its_help(name):
    page = (DOCS / f"reference/commands/{name}.md").read_text()
    assert page == load_script("command_pages").page_of(name), "not up to date: run make tables"
    subcommands = re.findall(rf"^## {name} (\w+)$", page, re.M)
    parts = re.split(rf"^## {name} \w+$", page, flags=re.M)
    for part, words in zip(parts, [[], *([each] for each in subcommands)], strict=True):
        shown = help_of(name, *words)
        options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, re.M)) - {"--help"}
        assert set(re.findall(r"^- `(?:-\w(?: \w+)?, )?(--[\w-]+)", part, re.M)) == options
        plain = "".join(part.replace("\\", "").split())
        told = re.findall(r"^ {24}(\S.*)$", shown.partition("options:\n")[2], re.M)
        missing = [line for line in told if "".join(line.split()) not in plain]
        assert missing in ([], ["show this help message and exit"]), missing


def test_the_first_tutorial(on_ranks, tmp_path):
    page = DOCS / "tutorials/digits.md"
    lines = [line.replace("-1:1:21", "-1:1:5") for line in command_lines(page)]
    printed = [run_command(line, on_ranks, tmp_path) for line in lines]
    assert len(printed) == 4
    for name in re.findall(r"`(digits_\w+\.png)`", page.read_text()):
        assert name in printed[2]
    assert printed[3].startswith("digits.h5: ")
    check_what_the_tutorial_shows(page.read_text(), printed)
    with h5py.File(tmp_path / "digits.h5") as file:
        assert file["done"][:].all()
        assert file["train_loss"].shape == (5, 5)
        found = file["train_loss"][2, 2]
    assert found == pytest.approx(loss_of_digits(tmp_path / "digits.pt"), rel=1e-4)


def check_what_the_tutorial_shows(text, printed):
    """The page shows lines that the commands print; other processors may round otherwise."""
    training, values = (text for kind, text in BLOCK.findall(text) if kind == "text")
    last, wrote = training.splitlines()
    ours = next(line for line in printed[0].splitlines() if line.startswith("epoch 5/5"))
    assert numbers(ours)[:-1] == pytest.approx(numbers(last)[:-1], rel=0.02)  # without the time
    assert wrote in printed[0]
    for line in values.splitlines():
        name = line.partition(":")[0]
        same = next(each for each in printed[1].splitlines() if each.startswith(name))
        if numbers(line):  # the range is that of a finer grid
            assert numbers(same)[2:] == pytest.approx(numbers(line)[2:], rel=0.02)
        else:
            assert same == line


def numbers(line):
    return [float(each) for each in re.findall(r"(?<![\w-])\d+(?:\.\d+)?(?:e-?\d+)?", line)]


def loss_of_digits(checkpoint):
    """Return the loss over scikit-learn's digits without every fifth, standardised as one."""
    images, classes = load_digits(return_X_y=True)
    is_train = np.arange(len(classes)) % 5 != 4
    pixels = images[is_train].reshape(-1, 1, 8, 8)
    inputs = torch.tensor((pixels - pixels.mean()) / pixels.std(), dtype=torch.float64)
    network = build_network("cnn1", sample=Sample("image", (1, 8, 8), 10)).eval()
    content = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(content["state_dict"])
    outputs = network.double()(inputs)
    return functional.cross_entropy(outputs, torch.tensor(classes[is_train])).item()


def test_the_readme_says_in_two_sentences_what_this_is():
    first = (ROOT / "README.md").read_text().split("\n\n")[1]
    assert len(re.findall(r"\.(?=\s+[A-Za-z]|$)", first)) == 2


def test_the_citation_has_the_version_and_the_license_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "title", "message", "authors"} <= citation.keys()
    assert citation["version"] == landscape_mpi.__version__
    assert (ROOT / "LICENSE").read_text().startswith(f"{citation['license']} License")
