"""Give every Python that starts with this folder on PYTHONPATH fake GPUs, if FAKE_GPUS is set.

For example, from the folder of the project:

    export PYTHONPATH=tests/fake_cuda FAKE_GPUS=2
    mpirun -n 2 python -m landscape_mpi.surface --device cuda ...
"""

import os

if os.environ.get("FAKE_GPUS"):
    from fake_gpus.installation import install

    install()
