"""The papers' own comparisons, at a size for two cores: does what they claim show here, beyond the spread over seeds?

    python benchmarks/claims.py --out runs/claims                     # all three, MNIST where it is there (SPIKELOOM_DATA), else digits
    python benchmarks/claims.py gradr --seeds 0,1,2,3,4 --out runs/claims

gradr: Grad R is above Deep R at equal connectivity (Chen et al., IJCAI 2021). Both start dense, as in the authors' code; since Deep R then
       need not reach the sparsity that was asked for, Grad R is asked for the one that it did reach with the same seed. And Deep R as
       in its own paper (Bellec et al., ICLR 2018), sparse from the first step.
esl:   growth by gradient and by momentum are above growth at random, and all three above the same random graph that never changes
       (Shen et al., AAAI 2023).
upr:   pruning weights and neurons leaves fewer SOPs than pruning weights alone, at equal connectivity, and no lower accuracy
       (Shi et al., ICLR 2024); weights alone: Grad R.

Each comparison is paired by seed. It is "seen" if the mean difference is above 0 by more than the one-sided 95 % interval of Student's t
over the seeds, "opposite" if it is below 0 by as much, else "within the spread". Runs that are finished are read, not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import spikeloom
from scipy.stats import t as student
from spikeloom import runtime
from spikeloom.data.dataset import Dataset, load_dataset
from spikeloom.files import write_json
from spikeloom.subset import choose

Claim = Literal["gradr", "esl", "upr"]
Verdict = Literal["seen", "within the spread", "opposite"]
Measured = Mapping[str, float]  # accuracy (%) and connectivity (%) of the float network; deployed accuracy (%), SOPs per sample
CONFIDENCE = 0.95
TRAINING, TESTING = 3000, 2000  # of MNIST
PARTS = Path(__file__).resolve().parent / "parts"  # with the network small-conv
DENSE_L1 = {0.9: 0.15, 0.98: 0.5}  # what prunes to about these sparsities in so few steps; the default, 0.03, leaves 38 %
GROWTHS = ("gradient", "momentum", "random")


@dataclass(frozen=True)
class Run:
    """A training: its name in the table, the method, its options, the sparsity."""

    name: str
    method: str
    sparsity: float
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A statement: `above` has more of `what` than `below` (less, where `less`); `matched`: at the sparsity that `below` reached."""

    above: Run
    below: Run
    what: str = "accuracy"
    less: bool = False
    matched: bool = False


@dataclass(frozen=True)
class Size:
    """The network and how long it is trained."""

    net: str
    epochs: int
    batch_size: int
    lr: float
    timesteps: int
    net_options: Mapping[str, Any]
    data: Callable[[], Dataset]
    deployed: bool = False  # compiled and run, for SOPs


def mnist_or_digits() -> Dataset:
    """Return an evenly spread part of MNIST where it is there, else the digits."""
    folder = os.environ.get("SPIKELOOM_DATA")
    if folder is None or not (Path(folder) / "MNIST").exists():
        return load_dataset("digits")
    whole = load_dataset("mnist", folder)
    parts = [s.take(choose(n, len(s)).indices()) for s, n in ((whole.train, TRAINING), (whole.test, TESTING))]
    return replace(whole, name="mnist-part", train=parts[0], test=parts[1])


SIZES: dict[Claim, Size] = {
    "gradr": Size("fc", 15, 100, 0.01, 8, {"hidden": (100,)}, mnist_or_digits),
    "esl": Size("fc", 15, 100, 0.01, 8, {"hidden": (100,)}, mnist_or_digits),
    "upr": Size("small-conv", 16, 32, 0.01, 4, {"width": 6}, lambda: load_dataset("digits"), deployed=True),
}


def comparisons(claim: Claim) -> list[Comparison]:
    """Return what a paper compares."""
    if claim == "gradr":
        grad = {s: Run("grad-r", "grad-r", s, {}) for s in (0.9, 0.98)}
        dense = [
            Comparison(g, Run("deep-r, from dense", "deep-r", s, {"start": "dense", "l1": DENSE_L1[s]}), matched=True)
            for s, g in grad.items()
        ]
        return dense + [Comparison(g, Run("deep-r, sparse throughout", "deep-r", s, {})) for s, g in grad.items()]
    if claim == "esl":
        found: list[Comparison] = []
        for s in (0.95,):
            runs = {g: Run(f"esl, {g}", "esl", s, {"growth": g}) for g in GROWTHS}
            still = Run("esl, never rewired", "esl", s, {"growth": "random", "share": 0.0})
            found += [Comparison(runs[g], runs["random"]) for g in ("gradient", "momentum")]
            found += [Comparison(runs[g], still) for g in GROWTHS]
        return found
    both = [(Run("upr", "upr", s, {}), Run("grad-r", "grad-r", s, {})) for s in (0.8, 0.95)]
    return [Comparison(a, b, what, what == "sops") for a, b in both for what in ("sops", "accuracy")]


def use_parts() -> None:
    """Let the networks of this folder be found beside Spikeloom's own."""
    others = [folder for folder in os.environ.get("SPIKELOOM_PARTS", "").split(os.pathsep) if folder and folder != str(PARTS)]
    os.environ["SPIKELOOM_PARTS"] = os.pathsep.join([*others, str(PARTS)])


def verdict(differences: list[float]) -> Verdict:
    """Judge paired differences, one per seed, that a claim says are above 0."""
    mean = statistics.mean(differences)
    spread = statistics.stdev(differences)
    bound = float(student.ppf(CONFIDENCE, len(differences) - 1)) * spread / len(differences) ** 0.5
    if mean > bound:
        return "seen"
    return "opposite" if mean < -bound else "within the spread"


def measured(run: Run, seed: int, size: Size, dataset: Dataset, out: Path) -> Measured:
    """Train, compile and run on the test samples; read what an earlier call found."""
    options = "".join(f"-{value}" for value in run.options.values())
    folder = out / f"{dataset.name}-{size.net}-{size.epochs}" / f"{run.method}{options}" / f"s{run.sparsity:g}" / f"seed{seed}"
    if (folder / "claim.json").exists():
        return json.loads((folder / "claim.json").read_text())
    trained = spikeloom.fit(
        size.net,
        dataset,
        run.method,
        run.sparsity,
        size.epochs,
        out=folder,
        batch_size=size.batch_size,
        lr=size.lr,
        timesteps=size.timesteps,
        seed=seed,
        threads=1,
        device="cpu",
        net_options=dict(size.net_options),
        method_options=dict(run.options),
        resume=(folder / "settings.json").exists(),
    )
    found = {"accuracy": 100 * trained.accuracy, "connectivity": 100 * (1 - trained.sparsity)}
    if size.deployed:
        results = runtime.run(spikeloom.compile_network(trained, effort="fast"), dataset.test)
        found |= {"deployed": 100 * (results.accuracy or 0.0), "sops": float(results.sops_per_sample)}
    write_json(folder / "claim.json", found)
    return found


def judged(claim: Claim, size: Size, seeds: list[int], out: Path, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Train what a claim compares; return one row for each comparison."""
    use_parts()
    dataset = size.data()
    rows: list[dict[str, Any]] = []
    for one in comparisons(claim):
        others = [measured(one.below, seed, size, dataset, out) for seed in seeds]
        reached = [round(1 - m["connectivity"] / 100, 4) if one.matched else one.above.sparsity for m in others]
        ones = [measured(replace(one.above, sparsity=s), seed, size, dataset, out) for s, seed in zip(reached, seeds, strict=True)]
        above, below = ([m[one.what] for m in found] for found in (ones, others))
        share = statistics.mean(m["connectivity"] for m in ones)
        sign = -1 if one.less else 1
        differences = [sign * (a - b) for a, b in zip(above, below, strict=True)]
        rows.append(
            {
                "claim": claim,
                "data": dataset.name,
                "connectivity": share,
                "what": one.what,
                "one": one.above.name,
                "other": one.below.name,
                "of_one": above,
                "of_other": below,
                "differences": differences,
                "verdict": verdict(differences),
            }
        )
        report(f"{claim}, {share:.3g} %: {one.above.name} and {one.below.name}, {one.what}: {rows[-1]['verdict']}")
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return a table: mean and standard deviation of each side, of the paired difference, and the verdict."""
    lines = [["connect.", "what", "one", "mean (SD)", "other", "mean (SD)", "in favour of the claim", "verdict"], ["---"] * 8]
    for row in rows:
        one, other = (_spread(row[side], row["what"]) for side in ("of_one", "of_other"))
        margin = _spread(row["differences"], row["what"])
        lines.append([f"{row['connectivity']:.3g} %", row["what"], row["one"], one, row["other"], other, margin, row["verdict"]])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _spread(values: list[float], what: str) -> str:
    digits = 0 if what == "sops" else 2
    return f"{statistics.mean(values):,.{digits}f} ({statistics.stdev(values):,.{digits}f})"


def main() -> int:
    """Train what is missing, and print a table for each claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", default=[], help=f"of {', '.join(get_args(Claim))} [default: all]")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--digits", action="store_true", help="on the digits, with 60 hidden neurons, in place of MNIST")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"))
    given = parser.parse_args()
    unknown = set(given.claims) - set(get_args(Claim))
    if unknown:
        parser.error(f"no claim is called {', '.join(sorted(unknown))}")
    seeds = [int(seed) for seed in given.seeds.split(",")]
    for claim in given.claims or get_args(Claim):
        size = SIZES[claim] if given.epochs is None else replace(SIZES[claim], epochs=given.epochs)
        if given.digits and size.net == "fc":
            size = replace(size, batch_size=32, net_options={"hidden": (60,)}, data=lambda: load_dataset("digits"))
        rows = judged(claim, size, seeds, given.out, lambda text: print(text, file=sys.stderr))
        write_json(given.out / f"{rows[0]['data']}-{size.epochs}-{claim}.json", rows)
        print(f"\n## {claim}, {size.net} on {rows[0]['data']}, {size.epochs} epochs, {len(seeds)} seeds\n")
        print(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
