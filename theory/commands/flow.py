"""`python -m theory flow`: how training gets to its end."""

import argparse
import time
from typing import Any

import jax.numpy as jnp
import numpy as np

from theory.commands.arguments import (
    add_command,
    add_loss,
    add_moments,
    count,
    decay,
    positive,
    times,
)
from theory.commands.inputs import (
    check_loss_options,
    checked_moments,
    chosen_loss,
    progress,
    require_finite,
    screen,
)
from theory.commands.predictions import flow_arrays
from theory.commands.solve import effective_rank
from theory.linalg.errors import InputError
from theory.moments.files import read_layers, write_result

_EXAMPLE = """example:
  python -m theory flow moments.npz --out flow.npz --times 0,10,100,1000 --depth 2

OUT.npz gets times (t,), gram (t, depth, d, d), spectrum (t, depth, d),
layer_spectrum (t, depth + 1, d) and loss (t,). Time is learning rate x steps of plain gradient
descent, learning rate / (1 - momentum) x steps with momentum.
"""


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "how training gets there: every layer along gradient flow"
    parser = add_command(commands, "flow", about, _EXAMPLE, _run)
    add_moments(parser)
    add_loss(parser)
    parser.add_argument("--weight-decay", type=decay, default=0.0, metavar="X", help="strength")
    parser.add_argument("--times", type=times, required=True, help="flow times, e.g. 0,10,100")
    parser.add_argument("--depth", type=count, help="number of layers; 2, or as --init has")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--init-scale",
        type=positive,
        default=0.1,
        help="every layer starts as this times the identity",
    )
    start.add_argument("--init", metavar="FILE", help="npz with the initial weights W1, W2, …")


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    layers = None if options.init is None else read_layers(options.init)
    moments, tolerance, _ = checked_moments(options)
    check_loss_options(options, (options.loss,))
    if layers is None:
        identity = options.init_scale * np.eye(moments.covariance.shape[0])
        layers = (identity,) * (options.depth or 2)
    elif options.depth not in (None, len(layers)):
        raise InputError(
            f"--depth is {options.depth} but {options.init} holds {len(layers)} layers: leave"
            " --depth out"
        )
    progress(f"integrating {len(layers)} layers to time {options.times[-1]:g}")
    arrays = flow_arrays(
        chosen_loss(options.loss, options, moments, tolerance),
        jnp.asarray(moments.covariance),
        tuple(map(jnp.asarray, layers)),
        jnp.asarray(options.times),
        weight_decay=options.weight_decay,
    )
    require_finite(arrays)
    write_result(options.out, **arrays)
    out = screen(options)
    print(
        f"{'time':>12}  {'loss':>12}"
        f"  effective rank of the layer spectra, layer 0 to {len(layers)}",
        file=out,
    )
    for when, loss, spectra in zip(arrays["times"], arrays["loss"], arrays["layer_spectrum"]):
        ranks = "  ".join(f"{effective_rank(row):7.2f}" for row in spectra)
        print(f"{when:12.6g}  {loss:12.6g}  {ranks}", file=out)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)
