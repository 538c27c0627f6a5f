"""Recipes for Spack, EasyBuild and conda, beside what setup.cfg asks for.

Oracle: setup.cfg and the package's own version. An easyconfig is Python and runs here as it does
in EasyBuild. Spack is not a package of PyPI or Debian, so its recipes run with recorders in place
of Spack's directives. A table holds the names that other packagers use. Nothing is fetched:
docs/how-to/recipes.md tells what else was checked.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import re
import types

import pytest
import yaml
from folders import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import landscape_mpi

RECIPES = ROOT / "recipes"
EASYCONFIGS = sorted((RECIPES / "easybuild").glob("*.eb"))
SPACK = RECIPES / "spack/spack_repo/landscape_mpi"
CONDA = yaml.safe_load((RECIPES / "conda/environment.yml").read_text())

# Name in setup.cfg -> module of EasyBuild, and for a bundle the versions of the package in it.
EASYBUILD = {
    "h5py": ("h5py", None),
    "matplotlib": ("matplotlib", None),
    "mpi4py": ("mpi4py", None),
    "numpy": ("SciPy-bundle", {"2025.07": "2.3.2"}),
    "pillow": ("Pillow", None),
    "pooch": ("Python-bundle-PyPI", {"2025.07": "1.8.2"}),
    "safetensors": ("Safetensors", None),
    "scikit-learn": ("scikit-learn", None),
    "scipy": ("SciPy-bundle", {"2025.07": "1.16.1"}),
    "torch": ("PyTorch", None),
    "tqdm": ("tqdm", None),
    "vtk": ("VTK", None),
}
SPACK_NAMES = {"vtk": "vtk"}  # all others: py-NAME
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch", "vtk": "vtk-base"}


def asked_for(*extras):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    for extra in extras:
        lines += config["options.extras_require"][extra].split()
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def python_asked_for():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return SpecifierSet(config["options"]["python_requires"])


NEEDED = asked_for("compute")


def lower_bound(specifier):
    (only,) = specifier
    assert only.operator == ">="
    return Version(only.version)


# EasyBuild.


def read_easyconfig(path):
    names = {"SOURCE_TAR_GZ": "%(name)s-%(version)s.tar.gz", "SYSTEM": "system"}
    exec(compile(path.read_text(), path, "exec"), names)
    return types.SimpleNamespace(**{k: v for k, v in names.items() if not k.startswith("__")})


@pytest.fixture(params=EASYCONFIGS, ids=lambda path: path.stem)
def easyconfig(request):
    return read_easyconfig(request.param)


def test_there_are_easyconfigs_for_the_cpu_and_for_cuda():
    assert [path.name.partition("foss-")[2] for path in EASYCONFIGS] == [
        "2025b-CUDA-12.9.1.eb",
        "2025b.eb",
    ]


@pytest.mark.parametrize("path", EASYCONFIGS, ids=lambda path: path.stem)
def test_an_easyconfig_has_the_name_that_easybuild_looks_for(path):
    recipe = read_easyconfig(path)
    assert (recipe.name, recipe.version) == ("landscape_mpi", landscape_mpi.__version__)
    toolchain = f"{recipe.toolchain['name']}-{recipe.toolchain['version']}"
    cuda = {name: version for name, version, *_ in recipe.dependencies}.get("CUDA", "")
    suffix = getattr(recipe, "versionsuffix", "") % {"cudaver": cuda}
    assert path.stem == f"{recipe.name}-{recipe.version}-{toolchain}{suffix}"


def test_modules_of_an_easyconfig_have_versions_that_setup_cfg_accepts(easyconfig):
    modules = {name: version for name, version, *_ in easyconfig.dependencies}
    assert Version(modules["Python"]) in python_asked_for()
    assert sorted(EASYBUILD) == sorted(NEEDED)
    for name, requirement in NEEDED.items():
        module, inside = EASYBUILD[name]
        version = modules[module] if inside is None else inside[modules[module]]
        assert Version(version) in requirement.specifier, f"{module} {version}: {requirement}"


def test_an_easyconfig_names_no_module_without_a_use(easyconfig):
    used = {module for module, _ in EASYBUILD.values()}
    assert {name for name, *_ in easyconfig.dependencies} - used <= {"Python", "CUDA"}


def test_easyconfigs_differ_by_cuda_alone():
    with_cuda, without = map(read_easyconfig, EASYCONFIGS)
    plain = [each[:2] for each in with_cuda.dependencies if each[0] != "CUDA"]
    assert plain == without.dependencies
    suffixed = [each for each in with_cuda.dependencies if each[2:] == ("-CUDA-%(cudaver)s",)]
    assert [each[0] for each in suffixed] == ["PyTorch"]
    assert with_cuda.versionsuffix == "-CUDA-%(cudaver)s"


def test_the_sdist_has_the_name_that_easyconfigs_look_for(easyconfig):
    (source,) = easyconfig.sources
    words = {"name": easyconfig.name, "version": easyconfig.version}
    assert source % words == f"landscape_mpi-{landscape_mpi.__version__}.tar.gz"
    files = easyconfig.sanity_check_paths["files"]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    scripts = config["options.entry_points"]["console_scripts"].split("\n")
    assert files == [f"bin/{line.partition(' =')[0]}" for line in scripts if line]


# Spack.


class Recorder:
    """Stands for spack.package and Spack's base classes: keeps what a recipe declares."""

    cuda_arch_values = ("80", "90")

    def __init__(self):
        self.versions, self.variants, self.depends, self.conflicts = {}, {}, [], []
        self.kind = None

    def version(self, number, **options):
        self.versions[number] = options

    def variant(self, name, *, default, description):
        assert description
        self.variants[name] = default

    def depends_on(self, spec, *, when="", type=None):
        self.depends.append((spec, when, type or self.kind))

    def conflicts_with(self, spec, *, when, msg):
        self.conflicts.append((spec, when))

    @contextlib.contextmanager
    def default_args(self, *, type):
        self.kind = type
        yield
        self.kind = None


def run_recipe(package):
    """Run a package.py with its imports replaced; its classes have the recorder's words."""
    source = (SPACK / "packages" / package / "package.py").read_text()
    tree = ast.parse(source)
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {node.module.partition(".")[0] for node in imports} <= {"spack", "spack_repo"}
    tree.body = [node for node in tree.body if node not in imports]
    recorder = Recorder()
    base = type("Base", (), {"cuda_arch_values": Recorder.cuda_arch_values})
    words = {
        "version": recorder.version,
        "variant": recorder.variant,
        "depends_on": recorder.depends_on,
        "conflicts": recorder.conflicts_with,
        "default_args": recorder.default_args,
        "license": lambda name: None,
        "PythonPackage": type("PythonPackage", (), {}),
        "CudaPackage": base,
        "BuiltinPyPlotly": type("BuiltinPyPlotly", (), {}),
    }
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    exec(compile(tree, package, "exec"), {name: words[name] for name in imported})
    (defined,) = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert defined == "".join(part.capitalize() for part in package.split("_"))
    return recorder


RECIPE = run_recipe("py_landscape_mpi")


def versions_in_spack(variants=""):
    """Return the lower bound of each package, of lines that hold for these variants."""
    found = {}
    for spec, when, kinds in RECIPE.depends:
        if set(when.split()) <= set(variants.split()) and "run" in (kinds or ""):
            bound = re.fullmatch(r"([a-z0-9-]+)@([0-9.]+):( [+]python)?", spec)
            if bound:
                found[bound[1]] = Version(bound[2])
    return found


def test_spack_finds_the_repository_and_the_package():
    assert yaml.safe_load((SPACK / "repo.yaml").read_text()) == {
        "repo": {"namespace": SPACK.name, "api": "v2.0"}
    }
    assert SPACK.parent.name == "spack_repo"
    assert list(RECIPE.versions) == [landscape_mpi.__version__]


def test_spack_asks_for_what_setup_cfg_asks_for():
    for variants, extras in [
        ("", ()),
        ("+compute", ("compute",)),
        ("+report", ("report",)),
        ("+xarray", ("xarray",)),
        ("+compute +report +xarray", ("compute", "report", "xarray")),
    ]:
        asked = asked_for(*extras)
        expected = {
            SPACK_NAMES.get(name, f"py-{name}"): lower_bound(requirement.specifier)
            for name, requirement in asked.items()
        }
        expected["python"] = lower_bound(python_asked_for())
        assert versions_in_spack(variants) == expected


def test_spack_hands_mpi_and_cuda_on_to_the_packages_that_have_them():
    given = {(spec, when) for spec, when, _ in RECIPE.depends}
    for mpi in ("+mpi", "~mpi"):
        assert {(f"py-h5py {mpi}", mpi), (f"vtk {mpi}", mpi)} <= given
    assert ("py-torch ~cuda", "+compute ~cuda") in given
    assert ("py-torch +cuda cuda_arch=90", "+compute +cuda cuda_arch=90") in given
    assert RECIPE.conflicts == [("+cuda", "~compute")]


def test_spacks_plotly_is_the_one_that_setup_cfg_asks_for():
    recipe = run_recipe("py_plotly")
    ((number, options),) = recipe.versions.items()
    assert Version(number) in asked_for("report")["plotly"].specifier
    assert f"plotly=={number}" in (ROOT / "requirements.lock").read_text().split()
    assert re.fullmatch("[0-9a-f]{64}", options["sha256"])


def test_spacks_environment_builds_this_checkout():
    folder = RECIPES / "spack"
    environment = yaml.safe_load((folder / "spack.yaml").read_text())["spack"]
    (path,) = environment["repos"].values()
    assert path.replace("$env", str(folder)) == str(SPACK)
    assert list(environment["repos"]) == [SPACK.name]
    own = environment["develop"]["py-landscape-mpi"]
    assert own["spec"] == f"py-landscape-mpi@={landscape_mpi.__version__}"
    assert (folder / own["path"]).resolve() == ROOT
    (spec,) = environment["specs"]
    name, *variants = spec.split()
    assert name == "py-landscape-mpi"
    assert {word[1:] for word in variants} == {*RECIPE.variants, "cuda"}
    for word in variants:
        assert (word[0] == "+") == RECIPE.variants.get(word[1:], False)


# conda.


def conda_specs():
    """Return name -> (versions, build) of every line of the environment."""
    form = re.compile(r"([a-z0-9-]+?)((?:[<>]=?[0-9.]+,?)*)(?:=([a-z_]+[*]))?")
    lines = [form.fullmatch(line) for line in CONDA["dependencies"]]
    assert all(lines)
    return {line[1]: (SpecifierSet(line[2]), line[3]) for line in lines}


def test_conda_asks_for_what_setup_cfg_asks_for_and_for_each_package_once():
    specs = conda_specs()
    assert len(specs) == len(CONDA["dependencies"])
    for name, requirement in NEEDED.items():
        assert specs[CONDA_NAMES.get(name, name)][0] == requirement.specifier
    assert specs["python"][0] == python_asked_for() & SpecifierSet("<3.14")
    packages = {CONDA_NAMES.get(name, name) for name in NEEDED}
    assert set(specs) - packages == {"python", "pip", "setuptools", "openmpi"}


def test_condas_h5py_is_built_on_the_mpi_that_is_named_beside_it():
    specs = conda_specs()
    assert specs["h5py"][1] == "mpi_openmpi*"
    assert "openmpi" in specs
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]


def test_what_the_environment_says_of_the_extras_is_what_setup_cfg_says():
    text = (RECIPES / "conda/environment.yml").read_text()
    for extra in ("report", "topology", "animation", "xarray"):
        for name in asked_for(extra).keys() - asked_for():
            assert str(asked_for(extra)[name]) in text, extra
