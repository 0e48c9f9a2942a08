#!/bin/sh
# A small sweep on MNIST 784-800-10: two methods at three sparsities, the dense network beside them at the lower rate that suits it, one page of all.
# usage: examples/sweep_mnist.sh PYTHON, with SPIKELOOM_DATA naming the folder that has MNIST/raw; about 20 minutes on a core
set -eu
python=${1:-python3}
out=${SWEEP_OUT:-runs/sweep-mnist}
shared="--data mnist --epochs ${SWEEP_EPOCHS:-20} --jobs ${SWEEP_JOBS:-1} --set augment=gentle --set net.hidden=${SWEEP_HIDDEN:-800}"
# shellcheck disable=SC2086 # the words of $shared are meant to be split
"$python" -m spikeloom sweep $shared --methods grad-r,stds --sparsities "${SWEEP_SPARSITIES:-0.9,0.95,0.99}" --out "$out/sparse"
# shellcheck disable=SC2086
"$python" -m spikeloom sweep $shared --methods dense --sparsities 0.9 --set lr=0.003 --out "$out/dense"
"$python" -m spikeloom report "$out" --out "$out/compare.html"
