"""Recipe of landscape_mpi for Spack 1.0 and later: see recipes/spack/spack.yaml."""

from spack.package import conflicts, default_args, depends_on, license, variant, version
from spack_repo.builtin.build_systems.cuda import CudaPackage
from spack_repo.builtin.build_systems.python import PythonPackage


class PyLandscapeMpi(PythonPackage, CudaPackage):
    """Loss landscapes of trained networks over MPI ranks, one GPU each."""

    homepage = "https://arxiv.org/abs/1712.09913"

    license("MIT")

    version("0.1.0")  # without a checksum: built from the checkout, as spack.yaml does

    variant("compute", default=True, description="Compute surfaces; without it, only draw them")
    variant("mpi", default=True, description="Parallel HDF5")
    variant("report", default=False, description="Write interactive pages")
    variant("xarray", default=False, description="Open surfaces in xarray")

    conflicts("+cuda", when="~compute", msg="only +compute uses GPUs")

    with default_args(type="build"):
        depends_on("py-setuptools@64:")  # setup.py asks for editable_mode

    with default_args(type=("build", "run")):
        depends_on("python@3.11:")

    with default_args(type="run"):
        depends_on("py-h5py@3.12:")
        depends_on("py-matplotlib@3.9:")
        depends_on("py-numpy@2.0:")
        depends_on("py-pillow@10:")
        depends_on("py-scipy@1.13:")
        depends_on("py-tqdm@4.66:")
        depends_on("vtk@9.3: +python")

        # There is one HDF5 in an environment, which all of these share.
        for hdf5 in ("+mpi", "~mpi"):
            depends_on(f"py-h5py {hdf5}", when=hdf5)
            depends_on(f"vtk {hdf5}", when=hdf5)

        depends_on("py-mpi4py@4.0:", when="+compute")
        depends_on("py-pooch@1.8:", when="+compute")
        depends_on("py-safetensors@0.4:", when="+compute")
        depends_on("py-scikit-learn@1.5:", when="+compute")
        depends_on("py-torch@2.6:", when="+compute")
        depends_on("py-torch ~cuda", when="+compute ~cuda")
        for arch in CudaPackage.cuda_arch_values:
            depends_on(f"py-torch +cuda cuda_arch={arch}", when=f"+compute +cuda cuda_arch={arch}")

        depends_on("py-plotly@7.1:", when="+report")
        depends_on("py-h5netcdf@1.4:", when="+xarray")
        depends_on("py-xarray@2024.9:", when="+xarray")
