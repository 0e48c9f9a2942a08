"""What a damaged or foreign results.json is refused with: the key that is wrong, when it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented import FIXTURES, results
from spikeloom.errors import FormatError
from spikeloom.report import html
from spikeloom.runtime.results import load

Document = dict[str, Any]


def set_to(*path: str | int, value: Any) -> Callable[[Document], None]:
    """Return what puts a value at a place of the document."""

    def change(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def without(*path: str | int) -> Callable[[Document], None]:
    """Return what removes a key."""

    def change(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


DAMAGE = {
    "layers.1.sops_per_sample: it must be a number": set_to("layers", 1, "sops_per_sample", value="many"),
    "layers.0.name: Field required": without("layers", 0, "name"),
    "layers.0.neurons: Input should be greater than or equal to 0": set_to("layers", 0, "neurons", value=-1),
    "layers: Input should be a valid list": set_to("layers", value={}),
    "cores.2.tile.0: Input should be less than": set_to("cores", 2, "tile", value=[10**9, 0]),
    "cores.0.utilisation.neurons: it must be a number": set_to("cores", 0, "utilisation", "neurons", value=None),
    "chip.cores_per_tile: Input should be greater": set_to("chip", "cores_per_tile", value=0),
    "chip.mesh: Input should be a valid tuple": set_to("chip", "mesh", value=None),
    "traffic: messages_per_sample must have a row and a column for each of the 3 cores": set_to(
        "traffic", "messages_per_sample", value=[[1.0]]
    ),
    "traffic: input_messages_per_sample must have a number for each of the 3 cores": set_to(
        "traffic", "input_messages_per_sample", value=[]
    ),
    "mapping.cores: Field required": without("mapping", "cores"),
    "energy: Input should be a valid": set_to("energy", value=None),
    "energy.components.0.status: Input should be a valid string": set_to("energy", "components", 0, "status", value=3),
    "energy.joules_per_sample: Input should be less than": set_to("energy", "joules_per_sample", value=10**40),
    "models.rows.0.energy.0.value: it must be a number": set_to("models", "rows", 0, "energy", 0, "value", value="x"),
    "baselines.rows.1.what: Field required": without("baselines", "rows", 1, "what"),
    "definitions.upr.deployed.sops_per_sample: it must be a number": set_to("definitions", "upr", "deployed", "sops_per_sample", value="x"),
    "neurobench.activation_sparsity: Input should be less than": set_to("neurobench", "activation_sparsity", value=1.5),
    "weights.rows.0.width: Input should be greater than 0": set_to("weights", "rows", 0, "width", value=0),
    "weights.rows.0: before and after must have equally many bins": set_to("weights", "rows", 0, "before", value=[1]),
    "rates.populations.0.rate_per_step.0: Input should be a valid number": set_to("rates", "populations", 0, "rate_per_step", value=["x"]),
    "raster.populations.0: times and ids must be equally many": set_to("raster", "populations", 0, "ids", value=[1]),
    "raster: times must be below the 2 time steps": set_to("raster", "timesteps", value=2),
    "provenance.versions.numpy: Input should be a valid string": set_to("provenance", "versions", "numpy", value=2),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_refused_with_the_key_that_is_wrong(said: str, tmp_path: Path) -> None:
    document = results()
    DAMAGE[said](document)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError) as error:
        load(path)
    assert f"{path} is damaged: {said}" in str(error.value) and "Run the network again" in str(error.value)


def test_results_of_before_definitions_and_kinds_are_read(tmp_path: Path) -> None:
    document = results()
    del document["definitions"]
    for layer in document["layers"]:
        del layer["kind"]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    found = load(path)
    assert found.definitions is None and found.layers[0].kind is None
    assert 'id="definitions"' not in html.render(found)


@pytest.mark.parametrize("name", FIXTURES)
def test_what_is_read_is_written_as_it_was(name: str, tmp_path: Path) -> None:
    """Sections that lack figures which were kept only later gain nothing."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(FIXTURES[name]))
    again = load(path).document()
    assert {key: again[key] for key in FIXTURES[name]} == json.loads(path.read_text())
