"""Spikeloom: train sparse spiking networks, compile the surviving synapses onto neuromorphic cores, run what was compiled.

    import spikeloom

    trained = spikeloom.train.fit("digits", method="grad-r", sparsity=0.9, out="runs/digits")
    network = spikeloom.compile_network(trained, target="lava")
    results = spikeloom.run(network, spikeloom.load_dataset("digits").test, check=True)
    spikeloom.report.write(results, "digits.html")

Each name is imported when it is first used. `train`, `compile`, `runtime`, `report` and the others are packages; `dir()` of each lists
what is public in it, and docs/versioning.md says what that promises.
"""

from . import _version, lazy, reproducible

TYPE_CHECKING = False  # typing itself would account for most of this package's import time
if TYPE_CHECKING:
    from . import compile, data, errors, formats, hwmodels, network, report, runtime, sweep, train  # noqa: A004
    from .compile.compiler import compile_network
    from .compile.deployed import DeployedNetwork
    from .compile.loading import load
    from .compile.paper import estimate
    from .data.dataset import load_dataset
    from .data.samples import samples_of
    from .errors import SpikeloomError, SpikeloomWarning
    from .network.model import Network
    from .report.drawing import figure
    from .runtime.results import Results
    from .runtime.results import load as load_results
    from .runtime.sessions import session
    from .runtime.simulator import run
    from .train.fitting import fit

__all__ = [
    "DeployedNetwork",
    "Network",
    "Results",
    "SpikeloomError",
    "SpikeloomWarning",
    "__version__",
    "compile",
    "compile_network",
    "data",
    "errors",
    "estimate",
    "figure",
    "fit",
    "formats",
    "hwmodels",
    "load",
    "load_dataset",
    "load_results",
    "network",
    "report",
    "run",
    "runtime",
    "samples_of",
    "session",
    "sweep",
    "train",
]

reproducible.ask()  # before anything, ours or later, computes a product

__version__ = _version.VERSION
if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            name: f".{name}:"
            for name in ("compile", "data", "errors", "formats", "hwmodels", "network", "report", "runtime", "sweep", "train")
        }
        | {
            "DeployedNetwork": ".compile.deployed",
            "Network": ".network.model",
            "Results": ".runtime.results",
            "SpikeloomError": ".errors",
            "SpikeloomWarning": ".errors",
            "estimate": ".compile.paper",
            "fit": ".train.fitting",
            "compile_network": ".compile.compiler",
            "figure": ".report.drawing",
            "load": ".compile.loading",
            "load_dataset": ".data.dataset",
            "load_results": ".runtime.results:load",
            "run": ".runtime.simulator",
            "samples_of": ".data.samples",
            "session": ".runtime.sessions",
        },
        here=("__version__",),
    )
