"""Invented results.json documents for the tests of reports: ordinary, tiny, huge, silent and hostile ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from spikeloom.report import document

Document = dict[str, Any]
made = document.Document.model_validate
"""Makes results of such a dictionary, as reading a file does."""
HOSTILE = '<script>alert("x")</script>[bold red]&\x1b[31m\u202e' + "very_long_name_" * 20


def _layer(name: str, source: str, size: int, fan_in: int, synapses: int) -> Document:
    return {
        "name": name,
        "place": "chip",
        "kind": "linear",
        "sources": [source],
        "neurons": size,
        "shape": [size],
        "synapses": synapses,
        "possible_synapses": size * fan_in,
        "connectivity": synapses / (size * fan_in),
        "weight_bits": 8,
        "exponent": -4,
        "v_threshold": 8123,
        "spike_rate": 0.1132,
        "spikes_per_sample": 0.1132 * size * 8,
        "sops_per_sample": synapses * 0.61,
        "neuron_updates_per_sample": size * 8.0,
        "drift": 0.004,
    }


def _core(number: int, generator: np.random.Generator, populations: dict[str, int]) -> Document:
    shares = generator.uniform(0.05, 0.98, 4)
    return {
        "core": number,
        "tile": [number // 4 % 8, number // 32],
        "neurons": sum(populations.values()),
        "synapse_words": int(16384 * shares[1]),
        "input_axons": int(4096 * shares[2]),
        "output_axons": int(4096 * shares[3]),
        "utilisation": dict(zip(("neurons", "synapse_words", "input_axons", "output_axons"), shares.tolist(), strict=True)),
        "populations": populations,
        "spikes_per_sample": 310.5,
        "sops_per_sample": 7300.25,
        "neuron_updates_per_sample": 2160.0,
        "messages_per_sample": 612.0,
    }


def energy() -> Document:
    parts = [
        ("synaptic operations", 19362.0, 2.36e-11, "published", "Davies et al. 2018, Table 2"),
        ("neuron updates, active", 733.0, 8.1e-11, "published", "Davies et al. 2018, Table 2"),
        ("neuron updates, inactive", 5747.0, 5.2e-11, "published", "Davies et al. 2018, Table 2"),
        ("hops", 410.0, 3.5e-12, "derived", "mean of east-west and north-south hops, Davies et al. 2018, Table 2"),
        ("static power", 1.0, None, "assumed", "3.34 W over 32 chips, Frady et al. 2020; shared by the cores in use"),
    ]
    components: list[Document] = [
        {
            "name": name,
            "count_per_sample": number,
            "joules_per_unit": each,
            "joules_per_sample": 2.1e-7 if each is None else number * each,
            "status": status,
            "source": source,
        }
        for name, number, each, status, source in parts
    ]
    total = sum(c["joules_per_sample"] for c in components)
    note = "Loihi 2 publishes no energy per operation: the figures of Loihi are scaled."
    return {
        "model": "loihi2",
        "joules_per_sample": total,
        "dynamic_joules_per_sample": total - 2.1e-7,
        "components": components,
        "note": note,
    }


def _models() -> Document:
    power = [("synaptic operations", 4.6e-7, "assumed"), ("static power", 2.1e-7, "assumed"), ("hops", 0.0, "")]
    time = [("barrier", 2.0e-6, "published"), ("neuron updates", 1.64e-5, "derived")]
    rows = [
        {
            "model": name,
            "title": f"{name} as published",
            "joules_per_sample": scale * 6.7e-7,
            "dynamic_joules_per_sample": scale * 4.6e-7,
            "seconds_per_sample": scale * 1.84e-5,
            "energy": [{"name": part, "value": scale * value, "status": status} for part, value, status in power],
            "latency": [{"name": part, "value": scale * value, "status": status} for part, value, status in time],
            "note": "A note.",
        }
        for name, scale in (("loihi2", 1.0), ("loihi", 2.0))
    ]
    return {"mapped_for": "loihi2", "rows": rows, "left_out": [{"model": "truenorth", "why": "a model of another machine"}]}


def _weights(layer: str, projection: str) -> Document:
    return {
        "layer": layer,
        "projection": projection,
        "bits": 8,
        "step": 0.0208,
        "weights_before": 310,
        "weights_after": 309,
        "integers": 5,
        "largest_before": 0.06,
        "largest_after": 0.042,
        "first": -0.0728,
        "width": 0.0208,
        "before": [2, 10, 99, 0, 100, 98, 1],
        "after": [0, 12, 99, 0, 100, 98, 0],
    }


def spikes_of(sizes: dict[str, int], timesteps: int, rate: float) -> Document:
    generator = np.random.default_rng(3)
    populations = []
    for name, size in sizes.items():
        times, ids = np.nonzero(generator.random((timesteps, size)) < rate * generator.random(size) * 2)
        populations.append({"name": name, "neurons": size, "times": times.tolist(), "ids": ids.tolist()})
    return {"sample": 0, "label": 7, "prediction": 7, "timesteps": timesteps, "populations": populations}


def _definition(sops: float, joules: float | None) -> Document:
    counted = {"sops_per_sample": sops, "macs_per_sample": 0.0, "joules_per_sample": joules}
    dense = {"sops_per_sample": 20 * sops, "macs_per_sample": 20 * sops, "joules_per_sample": None}
    prices = [{"operation": "AC", "joules": 9e-13, "status": "published", "source": "Horowitz, ISSCC 2014"}]
    return {
        "what": "Spikes times synapses.",
        "source": "A paper.",
        "deployed": counted,
        "dense_snn": dense,
        "dense_ann": dense,
        "prices": prices,
        "note": "A note.",
    }


def _step_bound(cores: int) -> Document:
    """A step that its synapses bind, and a change that helps."""
    busy = {"synapses": 6e-6, "updates": 2e-6, "messages_in": 1e-6, "messages_out": 0.0}
    parts = {"seconds": 8e-6, "memory": 5e-6, "compute": 1.5e-6, "traffic": 1e-6, "barrier": 0.5e-6, "binds": "memory"}
    return {
        "model": "loihi2",
        "overlap": "sum",
        **parts,
        "cores": [{"core": cores - 1 - k, **busy, "slowest": float(k == 0)} for k in range(cores)],
        "of_cores": cores,
        "change": {"what": "split core 2 in two", "before": 7.5e-6, "after": 5e-6},
    }


def results(cores: int = 3) -> Document:
    """Invented results of an ordinary run of 784-800-10, on so many cores."""
    generator = np.random.default_rng(0)
    between = generator.gamma(0.5, 40.0, (cores, cores)) * (generator.random((cores, cores)) < 0.7)
    names = ["hidden1", "output"]
    layers = [_layer("hidden1", "input", 800, 784, 31000), _layer("output", "hidden1", 10, 800, 760)]
    return {
        "format": "spikeloom.results",
        "version": 1,
        "network": {
            "timesteps": 8,
            "encoding": "current",
            "chip": "loihi2",
            "neurons": 810,
            "synapses": 31760,
            "connectivity": 0.05,
            "weight_bits": 8,
        },
        "data": "mnist",
        "backend": "native",
        "samples": 10000,
        "accuracy": 0.9751,
        "wall_seconds": 1.2,
        "samples_per_second": 8333.0,
        "sops_per_sample": 19373.6,
        "spikes_per_sample": 733.5,
        "neuron_updates_per_sample": 6480.0,
        "messages_per_sample": 1204.0,
        "hops_per_sample": 410.0,
        "host_macs_per_sample": 0,
        "layers": layers,
        "cores": [_core(n, generator, {"hidden1": 267, "output": 3}) for n in range(cores)],
        "chip": {
            "name": "loihi2",
            "mesh": [8, 4],
            "cores_per_tile": 4,
            "cores": 128,
            "limits": {"neurons": 8192, "synapse_words": 16384, "input_axons": 4096, "output_axons": 4096},
        },
        "traffic": {
            "cores": list(range(cores)),
            "messages_per_sample": between.tolist(),
            "input_messages_per_sample": (generator.random(cores) * 400).tolist(),
        },
        "mapping": {"cores": cores, "cores_bound": 2, "messages_per_step": 150.5, "messages_bound": 120.0, "hops_per_message": 0.4},
        "energy": energy(),
        "latency": {
            "model": "loihi2",
            "seconds_per_sample": 1.84e-5,
            "steps": 10,
            "seconds_per_step": 1.84e-6,
            "throughput_samples_per_second": 54348.0,
            "components": [
                {"name": "barrier", "seconds_per_step": 2.0e-7, "status": "published", "source": "Intel Loihi 2 technology brief"},
                {"name": "synaptic operations", "seconds_per_step": 1.0e-6, "status": "derived", "source": "Davies et al. 2018, scaled"},
                {"name": "neuron updates", "seconds_per_step": 6.4e-7, "status": "assumed", "source": "Davies et al. 2018, scaled"},
            ],
        },
        "stages": [
            {"name": "float", "accuracy": 0.976, "samples": 10000, "split": "test"},
            {"name": "integer (torch)", "accuracy": 0.9753, "samples": 10000, "split": "test"},
            {"name": "deployed (native)", "accuracy": 0.9751, "samples": 10000, "split": "test"},
        ],
        "check": {
            "reference": "integer reference",
            "backend": "lava",
            "samples": 500,
            "populations": names,
            "spikes_compared": 3240000,
            "equal": True,
        },
        "raster": spikes_of({"hidden1": 800, "output": 10}, 8, 0.11),
        "models": _models(),
        "baselines": {
            "model": "digital-45nm",
            "note": "Arithmetic only.",
            "rows": [
                {
                    "name": "dense ANN",
                    "what": "every weight, one pass",
                    "macs_per_sample": 635200.0,
                    "acs_per_sample": 0.0,
                    "joules_per_sample": 2.92e-6,
                },
                {"name": "unpriced", "what": "no price", "macs_per_sample": 9.0, "acs_per_sample": 1.0, "joules_per_sample": None},
            ],
        },
        "step_bound": _step_bound(cores),
        "definitions": {"upr": _definition(463.6, 4.17e-10), "spikeloom": _definition(19373.6, None)},
        "neurobench": {
            "footprint_bytes": 638176,
            "footprint_parts": {"weights": 635200, "biases": 0, "registers": 24, "state": 2952},
            "connection_sparsity": 0.95,
            "weights": 635200,
            "activation_sparsity": 0.8887,
            "effective_macs_per_sample": 18910.0,
            "effective_acs_per_sample": 463.6,
            "dense_per_sample": 691200.0,
        },
        "weights": {"before": "model.onnx", "why_not": None, "rows": [_weights("hidden1", "input_hidden1"), _weights("output", "x")]},
        "rates": {"samples": 10000, "populations": [{"name": n, "rate_per_step": [0.1, 0.2, 0.05, 0.1, 0, 0, 0.1, 0.1]} for n in names]},
        "warnings": ["hidden1: 12 neurons never spike on the calibration samples."],
        "provenance": {
            "command": "spikeloom run runs/mnist/model.loom --data mnist --check",
            "spikeloom": "0.1.0",
            "date": "2025-01-02T03:04:05Z",
            "host": "2 cores, x86_64",
            "versions": {"numpy": "2.2.0", "torch": "2.13.0"},
            "artefact_sha256": "ab" * 32,
            "chip_sha256": "cd" * 32,
            "training": {"data": "mnist", "method": "grad-r", "sparsity": 0.95, "epochs": 20},
        },
    }


def silent() -> Document:
    """A run in which nothing spikes, nothing was checked, and every optional part is empty or null."""
    made = results(1)
    for key in ("sops_per_sample", "spikes_per_sample", "messages_per_sample", "hops_per_sample"):
        made[key] = 0.0
    for layer in made["layers"]:
        layer.update(spike_rate=0.0, spikes_per_sample=0.0, sops_per_sample=0.0, drift=None)
    for population in made["raster"]["populations"]:
        population.update(times=[], ids=[])
    made["traffic"].update(messages_per_sample=[[0.0]], input_messages_per_sample=[0.0])
    made["mapping"].update(messages_per_step=0.0, messages_bound=0.0, hops_per_message=0.0)
    for part in made["energy"]["components"]:
        part.update(joules_per_sample=0.0)
    for part in made["latency"]["components"]:
        part.update(seconds_per_step=0.0)
    made["energy"].update(joules_per_sample=0.0, dynamic_joules_per_sample=0.0)
    made["latency"].update(seconds_per_sample=0.0, seconds_per_step=0.0)
    made["step_bound"].update(dict.fromkeys(("seconds", "memory", "compute", "traffic", "barrier"), 0.0), change=None)
    made["step_bound"]["cores"][0].update(dict.fromkeys(("synapses", "updates", "messages_in", "messages_out"), 0.0))
    for row in made["models"]["rows"]:
        row.update(joules_per_sample=0.0, dynamic_joules_per_sample=0.0)
        for part in row["energy"] + row["latency"]:
            part.update(value=0.0)
    for population in made["rates"]["populations"]:
        population.update(rate_per_step=[0.0] * 8)
    for row in made["weights"]["rows"]:
        row.update(before=None, weights_before=None, largest_before=None)
    made["weights"].update(before=None, why_not="The float network is not there.")
    return {**made, "accuracy": 0.0, "check": None, "warnings": []}


def bare() -> Document:
    """Results without any optional section."""
    made = results(1)
    for key in ("models", "neurobench", "definitions", "weights", "rates", "baselines", "step_bound"):
        made[key] = None
    for key in ("stages", "layers", "cores", "warnings"):
        made[key] = []
    return {**made, "raster": None, "check": None, "traffic": {"cores": [], "messages_per_sample": []}, "provenance": {}}


def hostile() -> Document:
    """Names that carry markup, terminal escapes and hundreds of letters."""
    made = results(2)
    for key in ("data", "backend"):
        made[key] = HOSTILE
    made["chip"]["name"] = HOSTILE
    made["layers"][0].update(name=HOSTILE, sources=[HOSTILE])
    made["cores"][0]["populations"] = {HOSTILE: 267}
    made["raster"]["populations"][0]["name"] = HOSTILE
    made["stages"][0].update(name=HOSTILE, split=HOSTILE)
    made["energy"]["components"][0].update(name=HOSTILE, source=HOSTILE, status=HOSTILE)
    made["latency"]["components"][0].update(name=HOSTILE, source=HOSTILE)
    made["energy"].update(model=HOSTILE, note=HOSTILE)
    made["step_bound"].update(model=HOSTILE, overlap=HOSTILE, change={"what": HOSTILE, "before": 1.0, "after": 0.5})
    made["check"].update(equal=False, populations=[HOSTILE], reference=HOSTILE)
    made["models"].update(mapped_for=HOSTILE, left_out=[{"model": HOSTILE, "why": HOSTILE}])
    made["models"]["rows"][0].update(model=HOSTILE, title=HOSTILE, note=HOSTILE)
    made["models"]["rows"][0]["energy"][0].update(name=HOSTILE, status=HOSTILE)
    made["baselines"].update(model=HOSTILE, note=HOSTILE)
    made["baselines"]["rows"][0].update(name=HOSTILE, what=HOSTILE)
    made["definitions"] = {HOSTILE: made["definitions"]["upr"] | {"what": HOSTILE, "source": HOSTILE, "note": HOSTILE}}
    made["definitions"][HOSTILE]["prices"][0].update(operation=HOSTILE)
    made["weights"].update(before=HOSTILE)
    made["weights"]["rows"][0].update(layer=HOSTILE, projection=HOSTILE)
    made["rates"]["populations"][0].update(name=HOSTILE)
    made["warnings"] = [HOSTILE]
    made["provenance"].update(command=HOSTILE, training={HOSTILE: {HOSTILE: [HOSTILE]}})
    return made


FIXTURES = {
    "ordinary": results(),
    "one core": results(1),
    "whole chip": results(128),
    "silent": silent(),
    "bare": bare(),
    "hostile": hostile(),
}


def compiled(of: Document) -> Document:
    """The dictionary of `spikeloom compile` that belongs to such results."""
    figures = {"spike_rate", "spikes_per_sample", "sops_per_sample", "neuron_updates_per_sample", "messages_per_sample", "drift"}

    def without(rows: list[Document]) -> list[Document]:
        return [{k: v for k, v in row.items() if k not in figures} for row in rows]

    passes = [{"name": "quantise", "seconds": 0.1, "changes": ["hidden1: exponent -4, threshold 8123"]}]
    whole = {key: of[key] for key in ("network", "chip", "mapping", "warnings")}
    return {**whole, "layers": without(of["layers"]), "cores": without(of["cores"]), "passes": passes}
