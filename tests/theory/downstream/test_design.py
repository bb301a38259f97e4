"""Design by gradient: closed form, brute force over the simplex, and real training on digits."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from tests import reference
from theory.commands import main
from theory.downstream.design import design, mix_moments
from theory.downstream.retention import count_active, effective_ranks, layer_share
from theory.layers.chain import chain_layer_grams
from theory.linalg.errors import InputError
from theory.losses.family import spectral
from theory.moments.augmentations import noise_moments
from theory.moments.moments import Moments, moments_from_views
from theory.optimum.solve import solve

DIM = 4
POLICIES = [
    Moments(*reference.random_moments(np.random.default_rng(seed), DIM)) for seed in range(3)
]
DIRECTION = np.random.default_rng(9).normal(size=DIM)
UNIT = DIRECTION / np.linalg.norm(DIRECTION)


def predicted_value(mixture, quantity, layer, depth=2):
    """What the design maximizes, from NumPy's own optimum."""
    covariance = np.einsum("k,kij->ij", mixture, [p.covariance for p in POLICIES])
    cross = np.einsum("k,kij->ij", mixture, [p.cross_covariance for p in POLICIES])
    gram = reference.power(reference.optimum(covariance, cross, DIM), (layer + 1) / depth)
    along = UNIT @ gram @ UNIT
    if quantity == "weight":
        return np.sqrt(along)
    rest = np.eye(DIM) - np.outer(UNIT, UNIT)
    along, across = along * (UNIT @ covariance @ UNIT), np.trace(gram @ rest @ covariance @ rest)
    return along / (along + across)


@pytest.mark.parametrize(("quantity", "maximize"), [("weight", "pre"), ("share", "post")])
def test_no_mixture_of_a_grid_is_better_and_the_slopes_are_right(quantity, maximize):
    found = design(POLICIES, DIRECTION, maximize=maximize, quantity=quantity)
    layer = 0 if maximize == "pre" else 1
    grid = [np.array([i, j, 20 - i - j]) / 20 for i in range(21) for j in range(21 - i)]
    values = [predicted_value(mixture, quantity, layer) for mixture in grid]
    assert found.value >= max(values) - 1e-10
    assert np.max(np.abs(found.mixture - grid[int(np.argmax(values))])) < 0.1
    np.testing.assert_allclose(
        found.value, predicted_value(found.mixture, quantity, layer), rtol=1e-10
    )
    for policy in range(3):
        step = 1e-6 * np.eye(3)[policy]
        ends = [predicted_value(found.mixture + s * step, quantity, layer) for s in (1, -1)]
        np.testing.assert_allclose(found.gradient[policy], (ends[0] - ends[1]) / 2e-6, atol=1e-6)
    assert 0.0 <= found.gap < 1e-8
    # The frontier begins at the best and only ever gives the direction up for the rest.
    np.testing.assert_array_equal(found.frontier.mixtures[0], found.mixture)
    read = found.frontier.weights if quantity == "weight" else found.frontier.shares
    assert np.all(np.diff(read[:, layer]) <= 1e-8)
    for k, mixture in enumerate(np.eye(3)):
        expected = [predicted_value(mixture, "weight", each) for each in (0, 1)]
        np.testing.assert_allclose(found.pure.weights[k], expected, rtol=1e-10)


def test_commuting_policies_mix_as_the_closed_form_says():
    """n = m/s² of a mode: on the edge of two policies its largest value is at a rational point."""
    scales, shared = np.array([[0.1, 1.0], [2.0, 1.0]]), np.array([[0.01, 0.5], [1.0, 0.3]])
    policies = [Moments(np.diag(s), np.diag(m)) for s, m in zip(scales, shared)]
    found = design(policies, np.array([3.0, 0.0]), maximize="post")
    with jax.no_tracing():
        design(policies[::-1], np.array([1.0, 0.0]), maximize="post")
    s, ds = scales[0, 0], scales[1, 0] - scales[0, 0]
    m, dm = shared[0, 0], shared[1, 0] - shared[0, 0]
    second = (dm * s - 2.0 * ds * m) / (dm * ds)
    np.testing.assert_allclose(found.mixture, [1.0 - second, second], atol=1e-8)
    expected = np.sqrt(m + dm * second) / (s + ds * second)
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)


def test_what_is_designed_for_has_a_slope_by_the_parameters_of_an_augmentation():
    data, feature = jnp.diag(jnp.array([1.0, 0.3, 0.1])), jnp.eye(3)[1]

    def readings(noise):
        prediction = solve(spectral(noise_moments(data, noise)), depth=2)
        share = layer_share(prediction, feature, data)
        return jnp.concatenate([share, effective_ranks(prediction), count_active(prediction)[None]])

    values, slopes = jax.jvp(readings, (0.2,), (1.0,))
    np.testing.assert_allclose(
        slopes, (readings(0.2 + 1e-5) - readings(0.2 - 1e-5)) / 2e-5, rtol=1e-6, atol=1e-9
    )
    # Of modes that commute: alignment s/(s + σ), weight² of layer l to the power l/2.
    s = np.diagonal(data)
    weights = (s / (s + 0.2) ** 2)[None, :] ** (np.array([[1], [2]]) / 2)
    np.testing.assert_allclose(values[:2], (weights * s)[:, 1] / np.sum(weights * s, axis=1))
    np.testing.assert_allclose(values[-1], np.sum(1 / (1 + 1e-3 * (s + 0.2) / s)), rtol=1e-12)


def test_moments_mix_linearly_and_means_only_where_all_have_one():
    mixture = np.array([0.2, 0.3, 0.5])
    mixed = mix_moments(POLICIES, mixture)
    expected = sum(w * p.covariance for w, p in zip(mixture, POLICIES))
    np.testing.assert_allclose(mixed.covariance, expected, rtol=1e-14)
    assert mixed.mean is None
    with pytest.raises(InputError, match="one probability each"):
        mix_moments(POLICIES, mixture[:2])
    with pytest.raises(InputError, match="all over the same features"):
        mix_moments([*POLICIES[:2], Moments(np.eye(2), np.eye(2))], mixture)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": np.zeros(DIM)}, "length 0"),
        ({"direction": np.ones(3)}, r"wanted \(4,\)"),
        ({"policies": POLICIES[:1]}, "at least two"),
        ({"maximize": "both"}, "'pre' or 'post'"),
        ({"quantity": "size"}, "'weight' or 'share'"),
        ({"depth": 1}, "leaves no layer before it"),
        ({"points": 1}, "at least 2"),
    ],
)
def test_what_nothing_can_be_designed_from_is_refused(options, message):
    given = {"policies": POLICIES, "direction": DIRECTION} | options
    with pytest.raises(InputError, match=message):
        design(given.pop("policies"), given.pop("direction"), **given)


def test_the_command_writes_and_prints_the_design(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, policy in zip("abc", POLICIES):
        np.savez(
            f"{name}.npz", covariance=policy.covariance, cross_covariance=policy.cross_covariance
        )
    np.savez("keep.npz", direction=DIRECTION)
    command = "design a.npz b.npz c.npz --direction keep.npz".split()
    assert main([*command, "--out", "design.json"]) == 0
    printed = capsys.readouterr().out
    with open("design.json") as stream:
        found = json.load(stream)
    expected = design(POLICIES, DIRECTION)
    np.testing.assert_allclose(found["mixture"], expected.mixture, atol=1e-12)
    np.testing.assert_allclose(found["frontier_ranks"], expected.frontier.ranks)
    assert found["policies"] == ["a.npz", "b.npz", "c.npz"]
    assert "weight pre-projection is largest" in printed
    assert "only a" in printed
    assert main([*command[:4], "--direction", "a.npz"]) == 2
    assert "wanted the direction" in capsys.readouterr().err


# ------------------------------------------------------------ advice, checked by training on digits

NAMES = ("erase the left half", "erase the right half", "noise in every pixel")


def draw_view(key, images, policies):
    """One view of each image under its policy; an erased half is missing in seven of ten views."""
    keys = jax.random.split(key)
    erased = jax.random.bernoulli(keys[0], 0.7, (len(images), 1))
    left_half = (jnp.arange(64) % 8 < 4)[None, :]
    views = jnp.stack([
        jnp.where(erased & left_half, 0.0, images),
        jnp.where(erased & ~left_half, 0.0, images),
        images + 0.25 * jax.random.normal(keys[1], images.shape, images.dtype),
    ])  # fmt: skip
    return views[policies, jnp.arange(len(images))]


def train(params, apply, images, mixture, steps):
    """Adam on the spectral contrastive loss of fresh pairs from the mixture."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def loss(params, first, second):
        first, second = apply(params, first), apply(params, second)
        across = first @ second.T
        count = len(first)
        negatives = jnp.sum(across**2) - jnp.sum(jnp.diagonal(across) ** 2)
        return negatives / (count * (count - 1)) - 2.0 * jnp.trace(across) / count

    def step(state, key):
        params, memory = state
        keys = jax.random.split(key, 4)
        chosen = images[jax.random.choice(keys[0], len(images), (256,), replace=False)]
        policies = jax.random.choice(keys[1], 3, (256,), p=mixture)
        pair = (draw_view(key, chosen, policies) for key in keys[2:])
        updates, memory = optimizer.update(jax.grad(loss)(params, *pair), memory)
        return (optax.apply_updates(params, updates), memory), None

    keys = jax.random.split(jax.random.key(1), steps)
    return jax.jit(lambda state: jax.lax.scan(step, state, keys)[0][0])(
        (params, optimizer.init(params))
    )


def probe_accuracy(features, labels):
    """Ridge probe on ten labels, averaged over a hundred draws of them."""
    features, rng = features - features.mean(0), np.random.default_rng(0)
    right = []
    for _ in range(100):
        chosen = [rng.choice(np.flatnonzero(labels == s), 5, replace=False) for s in (1, -1)]
        shown = np.concatenate(chosen)
        held_out, some = np.setdiff1d(np.arange(len(labels)), shown), features[shown]
        ridge = 0.1 * np.mean(np.sum(some**2, axis=1)) * np.eye(some.shape[1])
        weight = np.linalg.solve(some.T @ some + ridge, some.T @ labels[shown])
        right.append(np.mean(np.sign(features[held_out] @ weight) == labels[held_out]))
    return np.mean(right)


@pytest.mark.slow
def test_advice_on_digits_holds_for_trained_networks():
    """To tell 3 from 8 their left halves must survive: the policy that erases it is the worst.

    Theory is told the moments of three policies and the direction between the two digits. A linear
    network trained with the advised mixture gives that direction the predicted share of variance
    before and after its head, nearly twice that of a network trained with the opposite mixture; in
    a perceptron trained likewise a probe on ten labels reads the digit before the head far better.
    """
    digits = load_digits()
    images, digit = digits.data / 16.0, digits.target
    images = images - images.mean(0)
    direction = images[digit == 8].mean(0) - images[digit == 3].mean(0)
    direction /= np.linalg.norm(direction)
    moments = []
    for policy in range(3):
        policies = jnp.full(len(images), policy)
        keys = jax.random.split(jax.random.key(policy), 16)
        views = [draw_view(key, jnp.asarray(images), policies) for key in keys]
        moments.append(moments_from_views(jnp.stack(views, axis=1)))
    found = design(moments, direction, maximize="pre", quantity="share")
    opposite = np.eye(3)[np.argmin(found.pure.shares[:, 0])]
    single = np.flatnonzero((digit == 3) | (digit == 8))
    labels = np.where(digit[single] == 8, 1.0, -1.0)
    shares, accuracies = [], []
    for mixture in (found.mixture, opposite):
        mixed = mix_moments(moments, mixture)
        predicted = layer_share(solve(spectral(mixed)), direction, mixed.covariance)
        keys = jax.random.split(jax.random.key(9))
        start = {name: 0.05 * jax.random.normal(key, (64, 64)) for name, key in zip("ab", keys)}
        linear = train(
            start, lambda p, x: x @ p["a"].T @ p["b"].T, jnp.asarray(images), mixture, 4000
        )
        grams = chain_layer_grams((linear["a"], linear["b"]))
        trained = layer_share(SimpleNamespace(grams=grams), direction, mixed.covariance)
        np.testing.assert_allclose(trained, predicted, rtol=0.3)
        shares.append(np.asarray(trained))
        perceptron = train(
            start, lambda p, x: jax.nn.relu(x @ p["a"].T) @ p["b"].T, jnp.asarray(images), mixture,
            2000,
        )  # fmt: skip
        hidden = np.asarray(jax.nn.relu(images[single] @ perceptron["a"].T))
        accuracies.append(probe_accuracy(hidden, labels))
    # Measured: shares .070 and .048 (predicted .084, .039) against .039 and .024 (.039, .020);
    # accuracies .93 against .75.
    assert np.all(shares[0] > 1.5 * shares[1])
    assert accuracies[0] > accuracies[1] + 0.1
