"""Turn a surface file into a mesh for ParaView (.vtp, VTK XML PolyData).

Points lie at (alpha, beta, height). By default, the height of a loss in nat is log10(loss + 0.1
nat), and the mesh is half as high as its plane is wide. Every quantity of the file is an array on
the points. Points that are not computed, or whose height is NaN or infinite, are left out with
their cells. A partial surface gives the triangles of its computed points, and a line gives a
polyline. The mesh also has arrays of the log10 of each quantity and of the height, normals,
averages over the cells, and alpha and beta as texture coordinates.

Lines on the surface have files of their own: trajectories of training runs go into <stem>_path.vtp,
a curve between solutions into <stem>_curve.vtp, and lines of equal value (--contours) into
<stem>_contours.vtp.

  python -m landscape_mpi.vtp resnet56.h5
  python -m landscape_mpi.vtp resnet56.h5 --quantity test_loss --range :10 --scale 0.3
  python -m landscape_mpi.vtp resnet56.h5 --contours --render resnet56.png
  python -m landscape_mpi.vtp resnet56.h5 --look paper --render resnet56.png
  python -m landscape_mpi.vtp resnet56.h5 --out resnet56.stl --watertight
  python -m landscape_mpi.vtp epoch_*.h5 --series training.pvd --paraview
"""

from __future__ import annotations

from collections.abc import Sequence

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.draw.meshes import write_all, write_one
from landscape_mpi.draw.vtp_options import make_vtp_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surface, build its mesh and its lines, write them, and describe them."""
    options = make_parser().parse_args(arguments)
    (write_one if options.series is None else write_all)(options)
    return 0


def make_parser() -> CommandParser:
    """Return the command's options."""
    return make_vtp_parser(__doc__)


if __name__ == "__main__":
    run_alone(main)
