"""Every benchmark of `python -m experiments speed`: who runs, on how many threads, and the bar."""

from typing import NamedTuple

from experiments.errors import InputError

TASKS = "experiments.speed"
PEERS = "experiments.speed.peers"


class Peer(NamedTuple):
    """Another implementation.

    Attributes:
      name: As its users call it.
      package: Distribution whose version is reported.
      task: ``module:function`` that makes its task.
      wanted: Ratio aimed at.
    """

    name: str
    package: str
    task: str
    wanted: float


class Benchmark(NamedTuple):
    """One thing measured.

    Attributes:
      what: Name in `speed.json`.
      group: What ``--only`` also accepts.
      task: ``module:function`` that makes our task.
      unit: Of the cost, which is seconds times `factor`.
      factor: Units a second.
      threads: Of every contender; 0: as many as there are cores.
      case: Which case, where there are several.
      target: Cost aimed at, in `unit`, for a row without a peer.
      peers: Held beside us in the same rounds.
      rounds: At most so many; for what takes long.
      large: Only with ``--large``.
      gpu: Only where there is one.
    """

    what: str
    group: str
    task: str
    unit: str = "ms"
    factor: float = 1e3
    threads: int = 1
    case: str = ""
    target: float | None = None
    peers: tuple[Peer, ...] = ()
    rounds: int = 100
    large: bool = False
    gpu: bool = False


def _modes(depth: int) -> Benchmark:
    return Benchmark(
        "modes",
        "theory",
        f"{TASKS}.theory_tasks:modes_{depth}",
        unit="ns per evaluation",
        factor=1e9,
        threads=0,
        case=f"depth {depth}",
        target=50.0,
        peers=(
            Peer("scipy solve_ivp", "scipy", f"{PEERS}.scipy_modes:modes_{depth}", 500.0),
            Peer("diffrax vmapped", "diffrax", f"{PEERS}.diffrax_modes:modes_{depth}", 50.0),
        ),
    )


BENCHMARKS = (
    _modes(2),
    _modes(3),
    _modes(4),
    Benchmark(
        "layer_spectra",
        "theory",
        f"{TASKS}.theory_tasks:layer_spectra",
        unit="s",
        factor=1.0,
        threads=0,
        case="dimension 3072, top 128",
        target=5.0,
        rounds=3,
    ),
    Benchmark(
        "layer_spectra",
        "theory",
        f"{TASKS}.theory_tasks:layer_spectra_large",
        unit="s",
        factor=1.0,
        threads=0,
        case="dimension 10000, top 128",
        target=180.0,
        rounds=1,
        large=True,
    ),
    Benchmark(
        "factor_flow",
        "theory",
        f"{TASKS}.theory_tasks:factor_flow",
        unit="s",
        factor=1.0,
        threads=0,
        case="dimension 512, rank 64, depth 3",
        peers=(
            Peer("right-hand sides alone", "jax", f"{TASKS}.theory_tasks:flow_by_hand", 1 / 1.2),
        ),
        rounds=5,
    ),
    Benchmark(
        "nt_xent_512",
        "losses",
        f"{TASKS}.loss_tasks:nt_xent_512",
        peers=(
            Peer("lightly", "lightly", f"{PEERS}.lightly_loss:nt_xent_512", 3.0),
            Peer(
                "stable-pretraining JAX",
                "stable-pretraining",
                f"{PEERS}.stable_pretraining_jax:nt_xent_512",
                1.0,
            ),
        ),
    ),
    Benchmark(
        "nt_xent_65536",
        "losses",
        f"{TASKS}.loss_tasks:nt_xent_65536",
        unit="GiB of working memory",
        factor=1.0,
        threads=0,
        target=1.0,
        rounds=1,
    ),
    Benchmark(
        "augment_256",
        "augment",
        f"{TASKS}.augmentation_tasks:two_views_256",
        peers=(
            Peer("kornia", "kornia", f"{PEERS}.kornia_views:two_views_256", 3.0),
            Peer("torchvision", "torchvision", f"{PEERS}.torchvision_views:two_views_256", 7.0),
            Peer(
                "stable-pretraining JAX, weaker recipe",
                "stable-pretraining",
                f"{PEERS}.stable_pretraining_jax:two_views_256",
                1.0,
            ),
        ),
    ),
    Benchmark(
        "resnet_w16_step",
        "train",
        f"{TASKS}.training_tasks:resnet_w16",
        threads=0,
        peers=(Peer("PyTorch channels-last", "torch", f"{PEERS}.torch_resnet:resnet_w16", 0.7),),
    ),
    Benchmark(
        "resnet18_step",
        "train",
        f"{TASKS}.training_tasks:resnet18",
        peers=(Peer("PyTorch channels-last", "torch", f"{PEERS}.torch_resnet:resnet18", 0.9),),
    ),
    Benchmark(
        "deep_linear_steps",
        "train",
        f"{TASKS}.training_tasks:deep_linear_steps",
        unit="s for 10000 steps",
        factor=1.0,
        threads=0,
        target=3.0,
        rounds=3,
    ),
    Benchmark(
        "step_overhead",
        "train",
        f"{TASKS}.training_tasks:step_overhead",
        threads=0,
        target=0.3,
        rounds=5,
    ),
    Benchmark(
        "epoch_gpu",
        "gpu",
        f"{TASKS}.gpu_tasks:epoch",
        unit="s an epoch",
        factor=1.0,
        threads=0,
        target=5.0,
        peers=(Peer("PyTorch compiled", "torch", f"{PEERS}.torch_epoch:epoch", 1.5),),
        rounds=3,
        gpu=True,
    ),
)

SCALE = "scale"
"""Measured by `experiments.speed.scale`, in processes of its own."""


def chosen(only: str | None) -> tuple[tuple[Benchmark, ...], bool]:
    """The benchmarks that ``--only`` names, and whether `scale` is among them.

    Args:
      only: Names or groups, with commas; None: all.

    Returns:
      Benchmarks in their order, and whether to measure what sharing a step costs.

    Raises:
      InputError: A name that is neither.
    """
    if only is None:
        return BENCHMARKS, True
    names = {name.strip() for name in only.split(",") if name.strip()}
    known = {one.what for one in BENCHMARKS} | {one.group for one in BENCHMARKS} | {SCALE}
    unknown = sorted(names - known)
    if unknown or not names:
        given = f"--only names {unknown[0]!r}" if unknown else "--only names nothing"
        groups = list(dict.fromkeys(one.group for one in BENCHMARKS))
        wanted = [*groups, SCALE, *dict.fromkeys(one.what for one in BENCHMARKS)]
        raise InputError(f"{given}; wanted some of {', '.join(wanted)}, with commas")
    found = tuple(one for one in BENCHMARKS if names & {one.what, one.group})
    return found, SCALE in names
