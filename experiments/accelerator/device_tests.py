"""Whether a device computes what the CPU does in float64, and whether its defaults are guarded."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import theory
from experiments.accelerator.precision import (
    ALLOWED,
    ROUNDOFF,
    compute_on_cpu,
    compute_on_device,
    judge,
    judge_precision,
    name_precision,
    relative_error,
)
from experiments.accelerator.steps import Request
from ssljax import losses
from ssljax.augment.policies import IDENTITY, SIMCLR_POLICY
from ssljax.augment.views import make_view_pair
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.sources import Dataset
from ssljax.measure.features import layer_features
from ssljax.measure.moments import layer_moments, pixel_layer
from ssljax.nets.network import Network, Numerics
from ssljax.nets.table import build_network
from ssljax.training.training import make_training

Result = dict[str, Any]
GRAY_LEVEL = 1 / 255
TEMPERATURE = 0.5


class Size(NamedTuple):
    """How large the tests are.

    Attributes:
      side: Height and width of images.
      width: Channels of networks and maps.
      pairs: Positive pairs of images in a network; other tests take four times as many.
      dim: Of the moments that theory solves.
    """

    side: int
    width: int
    pairs: int
    dim: int


FULL = Size(side=32, width=64, pairs=64, dim=128)
TINY = Size(side=8, width=4, pairs=8, dim=8)


def check_device(request: Request) -> Iterator[Result]:
    """Yield a result of every test; one that breaks does not keep the others from running."""
    size = TINY if request.tiny else FULL
    for name, test in TESTS.items():
        try:
            yield from test(size)
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0]
            yield {
                "what": name,
                "passed": False,
                "message": f"{type(error).__name__}: {said[:300]}",
            }


def check_products(size: Size) -> Iterator[Result]:
    """Compare a product of matrices, and name the precision of the device's default."""
    count = 16 * size.width
    draws = np.random.default_rng(0)
    factors = tuple(draws.normal(size=(count, count)).astype(np.float32) for _ in range(2))
    result = judge_precision("matrix product", jnp.matmul, factors)
    yield result | {"default": name_precision(result["at_default"])}


def check_convolution(size: Size) -> Iterator[Result]:
    """Compare a convolution, and name the precision of the device's default."""
    draws = np.random.default_rng(0)
    maps = draws.normal(size=(8, size.side, size.side, size.width)).astype(np.float32)
    kernel = draws.normal(size=(3, 3, size.width, size.width)).astype(np.float32)

    def convolve(maps: jax.Array, kernel: jax.Array) -> jax.Array:
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            maps, kernel, (1, 1), "SAME", dimension_numbers=dimensions
        )

    result = judge_precision("convolution", convolve, (maps, kernel))
    yield result | {"default": name_precision(result["at_default"])}


def check_losses(size: Size) -> Iterator[Result]:
    """Compare losses and their gradients, under the device's default."""
    draws = np.random.default_rng(0)
    first = draws.normal(size=(4 * size.pairs, 2 * size.width)).astype(np.float32)
    second = (first + draws.normal(size=first.shape)).astype(np.float32)
    named: dict[str, Callable[..., Any]] = {
        "NT-Xent": lambda a, b: losses.nt_xent(a, b, TEMPERATURE),
        "NT-Xent in blocks": lambda a, b: losses.nt_xent_blockwise(a, b, TEMPERATURE),
        "spectral loss": losses.spectral_contrastive,
        "VICReg": losses.vicreg,
        "Barlow Twins": losses.barlow_twins,
    }
    for name, loss in named.items():
        differentiated = jax.value_and_grad(loss, argnums=(0, 1))
        # Losses compute in float32 or wider by themselves, whatever the step around them does.
        yield judge_precision(
            f"{name} and its gradient", differentiated, (first, second), guards_itself=True
        )


def _make_resnet(size: Size, numerics: Numerics) -> Network:
    return build_network(
        EncoderConfig(kind="resnet", stage_sizes=(1,), width=size.width),
        HeadConfig(kind="mlp", widths=(2 * size.width, size.width)),
        (size.side, size.side, 3),
        numerics,
    )


def _differentiate_step(network: Network) -> Callable[..., Any]:
    """Return loss and gradient of NT-Xent on pairs of images, as a step computes them."""

    def objective(params: Any, statistics: Any, images: jax.Array) -> jax.Array:
        outputs, _ = network.apply(params, statistics, images, train=True)
        embedding = outputs["embedding"]
        return losses.nt_xent(embedding[::2], embedding[1::2], TEMPERATURE)

    return jax.value_and_grad(objective)


def check_network(size: Size) -> Iterator[Result]:
    """Compare a training step's gradient, and features as they are measured."""
    single = _make_resnet(size, Numerics())
    half = _make_resnet(size, Numerics(dtype=jnp.bfloat16))
    params, statistics = jax.device_get(jax.jit(single.init)(jax.random.key(0)))
    stored = _draw_images(2 * size.pairs, size.side)
    images = (stored / np.float32(255)).astype(np.float32)

    def reference(make: Callable[[Network], Callable[..., Any]]) -> Callable[..., Any]:
        # The type of the parameters is part of the network.
        def compute(*arguments: Any) -> Any:
            numerics = Numerics(param_dtype=arguments[-1].dtype)
            return make(_make_resnet(size, numerics))(*arguments)

        return compute

    arguments = (params, statistics, images)
    result = judge_precision(
        "loss and gradient of a ResNet",
        _differentiate_step(single),
        arguments,
        reference=reference(_differentiate_step),
        noted={"in_bfloat16": _differentiate_step(half)},
    )
    yield result
    layers = ("feature", "embedding")

    def evaluate(network: Network) -> Callable[..., Any]:
        def features(params: Any, statistics: Any, images: jax.Array) -> Any:
            return network.apply(params, statistics, images, train=False, layers=layers)[0]

        return features

    exact = compute_on_cpu(reference(evaluate), arguments, np.float64)
    on_cpu = compute_on_cpu(reference(evaluate), arguments, np.float32)
    bound = ALLOWED * max(relative_error(on_cpu, exact), ROUNDOFF)
    for name, network in (("float32", single), ("bfloat16", half)):
        found = layer_features(
            network.apply, params, statistics, stored, 1 / 255, layers=layers, batch_size=size.pairs
        )
        yield judge(
            f"features of a network that trains in {name}", relative_error(found, exact), bound
        )


def check_moments(size: Size) -> Iterator[Result]:
    """Compare moments of pixels, and the rank of features that have few dimensions."""
    side, count = size.side, 4 * size.pairs
    images = _draw_images(count, side)
    arguments = (images, 1 / 255, jax.random.key(0), IDENTITY, 1.0)
    found = layer_moments(pixel_layer, {}, None, *arguments, views=2, layers=("input",))["input"]
    pixels = (images.reshape(count, -1) * np.float32(1 / 255)).astype(np.float64)
    exact = pixels.T @ pixels / count
    yield judge(
        "covariance and cross-covariance",
        relative_error((found["covariance"], found["cross_covariance"]), (exact, exact)),
        ALLOWED * ROUNDOFF,
    )
    # Rounding the factors of a product fakes full rank, at the square of the unit roundoff.
    rank = 4
    draws = np.random.default_rng(1)
    few = draws.integers(0, 2, (count, rank)) @ draws.integers(0, 64, (rank, side * side * 3))
    weights = draws.normal(size=(side * side * 3, 4 * rank)).astype(np.float32)

    def project(params: Any, statistics: Any, images: jax.Array, **_: Any) -> Any:
        return {"feature": jnp.matmul(images.reshape(len(images), -1), params)}, statistics

    arguments = (few.astype(np.uint8).reshape(images.shape), *arguments[1:])
    found = layer_moments(project, weights, None, *arguments, views=2, layers=("feature",))
    values = np.linalg.eigvalsh(found["feature"]["covariance"])[::-1]
    yield judge(
        f"eigenvalue {rank + 1} of features of rank {rank}, over the largest",
        float(abs(values[rank]) / values[0]),
        (ALLOWED * ROUNDOFF) ** 2,
    )


def check_views(size: Size) -> Iterator[Result]:
    """Compare augmented views with those of the CPU; both compute in float32."""
    count = 4 * size.pairs
    images = (_draw_images(count, size.side) / np.float32(255)).astype(np.float32)

    def views(images: jax.Array) -> jax.Array:
        identity = jnp.arange(count)
        return make_view_pair(jax.random.key(0), 0, identity, images, SIMCLR_POLICY, 1.0)

    on_cpu = compute_on_cpu(views, (images,), np.float32)
    on_device = compute_on_device(views, (images,), "default")
    error = float(np.sqrt(np.mean((on_device - on_cpu) ** 2)))
    yield judge("augmented views, in tenths of a gray level", error / (GRAY_LEVEL / 10), 1.0)


def check_theory(size: Size) -> Iterator[Result]:
    """Compare the optimum of a deep network, all in float64."""
    dim = size.dim
    draws = np.random.default_rng(0)
    basis = np.linalg.qr(draws.normal(size=(dim, dim)))[0]
    scale = np.logspace(0, -2, dim)
    covariance = (basis * scale) @ basis.T
    cross = (basis * scale * np.linspace(0.9, 0.1, dim)) @ basis.T

    def solve(covariance: jax.Array, cross: jax.Array) -> Any:
        loss = theory.spectral(theory.Moments(covariance, cross))
        prediction = theory.solve(loss, depth=2, weight_decay=0.01)
        return prediction.grams, prediction.layer_spectra

    exact = compute_on_cpu(solve, (covariance, cross), np.float64)
    with jax.enable_x64(True):
        found = jax.device_get(jax.jit(solve)(jnp.asarray(covariance), jnp.asarray(cross)))
    # The condition of the covariance is 100, and each of its entries sums `dim` terms.
    yield judge(
        "predicted Grams and layer spectra in float64",
        relative_error(found, exact),
        ALLOWED * 100 * dim * 2.0**-53,
    )


def check_many_devices(size: Size) -> Iterator[Result]:
    """Compare three training steps on all devices with those on one."""
    count = len(jax.devices())
    what = f"parameters moved by 3 steps on {count} devices against 1"
    if count == 1:
        yield {"what": what, "passed": None, "message": "there is one device"}
        return
    images = _draw_images(16 * count, size.side)
    dataset = Dataset(images, np.zeros(len(images), np.int32), 1 / 255, 1, "random")
    moved = []
    for devices in (1, count):
        config = Config(
            policy=SIMCLR_POLICY,
            encoder=EncoderConfig(kind="resnet", stage_sizes=(1,), width=size.width),
            head=HeadConfig(kind="mlp", widths=(size.width, size.width)),
            loss=LossConfig(name="nt_xent"),
            optimizer=OptimizerConfig(learning_rate=0.1),
            batch_size=8 * count,
            num_steps=3,
            matmul_precision="highest",
            devices=devices,
        )
        training = make_training(config, dataset)
        state = training.init(0)
        start = jax.device_get(state.params)
        state, _ = training.run(state, 1.0, 3)
        moved.append(jax.tree.map(np.subtract, jax.device_get(state.params), start))
    # A collective that is missing changes the gradient by its own size, rounding by about 2^-20.
    yield judge(what, relative_error(moved[1], moved[0]), 2.0**-10)


TESTS: dict[str, Callable[[Size], Iterator[Result]]] = {
    "products": check_products,
    "convolution": check_convolution,
    "losses": check_losses,
    "network": check_network,
    "moments": check_moments,
    "views": check_views,
    "theory": check_theory,
    "devices": check_many_devices,
}


def _draw_images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)
