#!/bin/sh
# A small sweep on scikit-learn's built-in digits: three methods at two sparsities, and the dense network beside them.
# usage: examples/sweep_digits.sh PYTHON
set -eu
python=${1:-python3}
out=${SWEEP_OUT:-runs/sweep-digits}
"$python" -m spikeloom sweep --data digits --methods dense,grad-r,stds,esl --sparsities 0.7,0.9 --seeds 0,1 \
  --epochs "${SWEEP_EPOCHS:-15}" --set net.hidden=200 --jobs "${SWEEP_JOBS:-1}" --out "$out"
echo "Page: $(cd "$out" && pwd)/sweep.html"
