"""The plotly that pages of landscape_mpi need, where Spack's own recipe ends before it."""

from spack.package import depends_on, version
from spack_repo.builtin.packages.py_plotly.package import PyPlotly as BuiltinPyPlotly


class PyPlotly(BuiltinPyPlotly):
    """An interactive, browser-based graphing library for Python."""

    version("7.1.0", sha256="f860166a4a3d78c69cb1f4a15f28a5c8283eade98a282a698f3bb853a449ace5")

    depends_on("py-hatchling@1.26:", when="@7:", type="build")
