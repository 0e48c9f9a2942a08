#!/bin/sh
# The whole chain on scikit-learn's built-in digits: train, compile, run, check against Lava, report.
# usage: examples/demo.sh PYTHON
set -eu
python=${1:-python3}
out=${DEMO_OUT:-runs/demo}
spikeloom() { "$python" -m spikeloom "$@"; }

rm -rf "$out"
spikeloom train --data digits --net fc --hidden 200 --method grad-r --sparsity 0.9 --epochs 30 --weight-bits 8 --out "$out"
spikeloom compile "$out" --target lava
spikeloom run "$out/model.loom" --data digits --check
if "$python" -c 'import sys; from spikeloom.runtime.backends import lava; sys.exit(lava.available() is not None)'; then
  echo "Running the same network in Intel's Lava simulator and comparing every spike ..." >&2
  spikeloom run "$out/model.loom" --data digits --backend lava --check --json > /dev/null
  echo "Lava's spikes are the integer reference's, all of them." >&2
else
  echo "Lava is not installed, so its check is left out. Add it with: make lava" >&2
fi
page=$(spikeloom report "$out")
echo "Report: $(cd "$(dirname "$page")" && pwd)/$(basename "$page")"
