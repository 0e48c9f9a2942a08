"""A chip of one's own: Loihi 2 with cores of 16 neurons, made from its file, and what the same network costs on both.

python examples/own_chip.py RUN_FOLDER
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from spikeloom import compile as compiler
from spikeloom import runtime, train


def main(run: str) -> None:
    """Write RUN_FOLDER/small-cores.toml, compile for both chips, compare."""
    text = (resources.files("spikeloom.hwmodels.chips") / "loihi2.toml").read_text(encoding="utf-8")
    lines = text.replace('name = "loihi2"', 'name = "small-cores"').splitlines()
    fewer = ['neurons = { value = 16, unit = "neurons", source = "This example", status = "assumed" }']
    chip = Path(run) / "small-cores.toml"
    chip.write_text(
        "\n".join(line for old in lines for line in (fewer if old.startswith("neurons = ") else [old])) + "\n", encoding="utf-8"
    )
    test = train.load_dataset("digits").test
    for name in ("loihi2", str(chip)):
        network = compiler.compile_network(run, chip=name)
        results = runtime.run(network, test, data_name="digits")
        joules = results.energy.dynamic_joules_per_sample
        cores = network.mapping.cores
        counted = f"{cores} core{'s' * (cores > 1)}, {results.messages_per_sample:,.0f} messages"
        print(f"{network.chip.name}: {counted}, {joules:.3g} J a digit (dynamic)")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
