import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.data.batches import batch_indices, epoch_constants, permute, permute_on_host
from ssljax.system.errors import UsageError

compiled = jax.jit(batch_indices, static_argnums=(2, 3, 4))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 16, 17, 240, 1797])
def test_the_permutation_is_a_bijection_of_every_size(size):
    values = jax.jit(permute, static_argnums=2)(jax.random.key(size), jnp.arange(size), size)
    np.testing.assert_array_equal(np.sort(values), np.arange(size))


def test_an_epoch_shows_every_example_at_most_once_and_drops_the_partial_batch():
    steps = range(7 * 3, 7 * 4)  # the fourth epoch of 50 examples in batches of 7
    shown = np.concatenate([compiled(jax.random.key(0), s, 50, 7, "epoch") for s in steps])
    assert len(set(shown.tolist())) == 49
    assert shown.min() >= 0
    assert shown.max() < 50


def test_epochs_have_different_orders_and_drop_different_examples():
    orders = np.array(
        [
            np.concatenate(
                [compiled(jax.random.key(0), e * 7 + s, 50, 7, "epoch") for s in range(7)]
            )
            for e in range(20)
        ]
    )
    assert len({tuple(order) for order in orders}) == 20
    assert len({(set(range(50)) - set(order.tolist())).pop() for order in orders}) > 5


def test_a_batch_depends_on_key_and_step_alone_also_inside_a_scan():
    key = jax.random.key(4)
    _, scanned = jax.lax.scan(
        lambda carry, step: (carry, batch_indices(key, step, 100, 8, "epoch")), 0, jnp.arange(30)
    )
    single = np.stack([compiled(key, step, 100, 8, "epoch") for step in range(30)])
    np.testing.assert_array_equal(scanned, single)
    other = np.stack([compiled(jax.random.key(5), step, 100, 8, "epoch") for step in range(30)])
    assert np.mean(single == other) < 0.1


def test_places_and_pairs_of_the_permutation_are_uniform():
    count, size = 20_000, 10
    keys = jax.random.split(jax.random.key(0), count)
    orders = np.asarray(jax.vmap(lambda key: permute(key, jnp.arange(size), size))(keys))
    places = np.stack([np.bincount(orders[:, i], minlength=size) for i in range(size)])
    chi_square = ((places - count / size) ** 2 / (count / size)).sum()
    assert 81 - 5 * np.sqrt(162) < chi_square < 81 + 5 * np.sqrt(162)
    for first, second in [(0, 1), (3, 8)]:
        pairs = np.bincount(orders[:, first] * size + orders[:, second], minlength=100)
        expected = count / 90
        chi_square = ((pairs[pairs > 0] - expected) ** 2 / expected).sum()
        assert np.count_nonzero(pairs) == 90
        assert 89 - 5 * np.sqrt(178) < chi_square < 89 + 5 * np.sqrt(178)


def test_neighbors_of_a_large_permutation_are_unrelated():
    values = np.asarray(permute(jax.random.key(1), jnp.arange(50_000), 50_000)) / 50_000
    for lag in (1, 2, 224):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4 / np.sqrt(50_000)


def test_replacement_draws_uniformly_and_repeats_examples():
    drawn = np.concatenate(
        [compiled(jax.random.key(0), s, 10, 500, "replacement") for s in range(20)]
    )
    counts = np.bincount(drawn, minlength=10)
    assert ((counts - 1000) ** 2 / 1000).sum() < 9 + 5 * np.sqrt(18)


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "sampling", "message"),
    [
        (10, 11, "epoch", "does not fit"),
        (10, 2, "epochs", "wanted 'epoch' or 'replacement'"),
        (10, 0, "replacement", "at least 1"),
    ],
)
def test_impossible_batches_are_refused_in_one_line(num_examples, batch_size, sampling, message):
    with pytest.raises(UsageError, match=message):
        batch_indices(jax.random.key(0), 0, num_examples, batch_size, sampling)


@pytest.mark.parametrize("size", [1, 2, 7, 240, 1797, 1_281_167])
def test_the_host_evaluates_the_same_permutations(size):
    key, count = jax.random.key(3), min(size, 300)
    positions = np.random.default_rng(0).integers(0, size, count)
    constants = np.asarray(epoch_constants(key, 3))
    for epoch in (0, 2):
        device = permute(jax.random.fold_in(key, epoch), jnp.asarray(positions), size)
        np.testing.assert_array_equal(permute_on_host(constants[epoch], positions, size), device)
