#!/usr/bin/env bash
# Pictures of the surface that examples/digits_surface.sh computed, and its mesh for ParaView.
# Needs neither torch nor MPI, so a laptop or a login node will do.
#
#   examples/digits_pictures.sh [FOLDER]
#
# Measured: 6 s on one core of an Intel Xeon, November 2026.
set -euo pipefail
folder=${1:-build/demo}

python -m landscape_mpi.plot "$folder/resnet8.h5" > "$folder/resnet8_pictures.txt"
python -m landscape_mpi.vtp "$folder/resnet8.h5" --log >> "$folder/resnet8_pictures.txt"
echo "Look at:"
echo "  $folder/resnet8_train_loss_contour.png    the loss over the training set"
echo "  $folder/resnet8_train_loss_surface.png    the same in three dimensions"
echo "  $folder/resnet8_test_error_filled.png     the error over the test set"
echo "  $folder/resnet8.vtp                       for ParaView (height: log10 of the train loss)"
echo "and the others in $folder; the numbers are in $folder/resnet8_pictures.txt"
