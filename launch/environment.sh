# shellcheck shell=bash
# Sourced by every template of slurm/, pbs/ and lsf/: modules, Python, data. Edit it once, for the cluster.

module load openmpi hdf5          # EDIT: the modules used for make setup; remove this line if there are none
# shellcheck source=/dev/null
. .venv/bin/activate              # EDIT: the environment that make setup made
DATA_DIR=${DATA_DIR:?write the folder of your data sets into launch/environment.sh}   # EDIT: e.g. /scratch/data
# EDIT: for many ranks, the file of launch/pack.sh, out of which Python and its packages are read on each node
export LANDSCAPE_IMAGE=${LANDSCAPE_IMAGE:-}
