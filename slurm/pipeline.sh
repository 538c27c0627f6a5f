#!/usr/bin/env bash
# Compute a surface and, once it is complete, its pictures and its mesh: two jobs, one after the other.
#
# Does     Submits the surface, and postprocess.sbatch to wait for it, however often the surface
#          requeues itself. If the surface fails or is cancelled, the second job is cancelled too.
#          Prints the numbers of the jobs and where their files will be.
# Needs    surface.sbatch and postprocess.sbatch of this folder, and launch/environment.sh, edited for
#          the cluster.
# Submit   On a login node, from the folder that holds slurm/:
#              slurm/pipeline.sh resnet56.h5
#          Options after the file override those of the template: ... seed2.h5 --seed 2
set -euo pipefail

readonly TEMPLATE=slurm/surface.sbatch    # EDIT: or slurm/surface_mpirun.sbatch
readonly OUT=${1:?name the output file of the surface: slurm/pipeline.sh resnet56.h5}
shift

main() {
    local surface pictures
    surface=$(submit "$TEMPLATE" --out "$OUT" "$@")
    echo "job $surface: $OUT (surface-$surface.log)"
    pictures=$(submit --dependency="afterok:$surface" --kill-on-invalid-dep=yes slurm/postprocess.sbatch "$OUT")
    echo "job $pictures, after it: ${OUT%.*}_*.png, ${OUT%.*}.vtp (postprocess-$pictures.log)"
}

# Submit a job and print its number; --parsable adds the cluster if there are several.
submit() {
    local told
    told=$(sbatch --parsable "$@") || exit
    echo "${told%%;*}"
}

main "$@"
