"""The table: what is written is read back, byte for byte, and what is wrong is refused."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.core.blocks import (
    block_count,
    counted_accuracy,
    decode_blocks,
    encode_counts,
    encode_without,
    leave_blocks_out,
)
from experiments.core.intervals import pseudo_values
from experiments.core.measurements import (
    Key,
    Measurement,
    Run,
    collect_parts,
    make_table,
    read_part,
    read_table,
    write_part,
    write_table,
)
from experiments.core.names import level
from experiments.errors import InputError


def example(seed=0, network="base"):
    correct = np.random.default_rng(seed).random((1, 1000)) < 0.4
    rows = [
        Measurement(
            network,
            seed,
            "accuracy",
            correct.mean().item(),
            layer="feature",
            task="cifar10",
            level=level(labels=1000),
            n=1000,
            blocks=encode_counts(correct),
        ),
        Measurement(network, seed, "defect", 0.1 + 0.2, layer="embedding", task="cifar10", n=1000),
    ]
    run = Run(network, seed, "laptop", "abc", "def", 300, 1 / 3, "c0ffee", False, "7:aa 9:bb")
    return make_table(rows, [run], {f"{network}/{seed}/spectrum": np.arange(3.0)})


def test_a_table_survives_writing_and_has_one_form(tmp_path):
    table = example()
    write_table(table, tmp_path)
    again = read_table(tmp_path)
    assert again.rows == table.rows
    assert again.runs == table.runs
    np.testing.assert_array_equal(again.curves["base/0/spectrum"], np.arange(3.0))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shuffled = dataclasses.replace(again, rows=dict(reversed(again.rows.items())))
    write_table(shuffled, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_parts_are_joined_once_they_are_complete(tmp_path):
    for seed in (1, 0):
        write_part(example(seed), tmp_path, "base", seed)
    whole = collect_parts(tmp_path)
    assert whole.seeds("base") == (0, 1)
    assert len(whole.rows) == 4
    assert len(whole.curves) == 2
    # A part that was interrupted before its last file counts as absent.
    (tmp_path / "networks" / "base-1" / "runs.csv").unlink()
    assert read_part(tmp_path, "base", 1) is None
    assert collect_parts(tmp_path).seeds("base") == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": math.nan}, "is nan"),
        ({"value": 0.9}, "add up to"),
        ({"quantity": "acuracy"}, "quantity 'acuracy' is not one of"),
        ({"layer": "featur"}, "layer 'featur' is not one of"),
        ({"variant": "tested"}, "variant 'tested' is not one of"),
        ({"task": "cifar11"}, "task 'cifar11' is not one of"),
        ({"level": "b=1;a=2"}, "sorted by key"),
        ({"blocks": "count1x3:00112233"}, "cannot hold the counts of 3"),
    ],
)
def test_rows_that_mean_nothing_are_refused(change, message):
    row = next(iter(example().rows.values()))
    with pytest.raises(InputError, match=message):
        make_table([row._replace(**change)])


def test_duplicates_are_refused():
    rows = list(example().rows.values())
    with pytest.raises(InputError, match="two rows of base, seed 0, trained, feature, cifar10"):
        make_table([*rows, rows[0]])
    with pytest.raises(InputError, match="two runs of base"):
        make_table([], [Run("base", 0, "laptop")] * 2)
    mixed = make_table([], [Run("base", 0, "laptop"), Run("base", 1, "paper")])
    with pytest.raises(InputError, match="several tiers"):
        mixed.tier()


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no measurements"):
        read_table(tmp_path)
    write_table(example(), tmp_path)
    path = tmp_path / "measurements.csv"
    path.write_text(path.read_text().replace("0.30000000000000004", "much"))
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path)


def test_measurement_keys_have_the_order_of_the_columns():
    row = next(iter(example().rows.values()))
    assert Key(*[getattr(row, name) for name in Key._fields]) == row.key


@pytest.mark.parametrize("images", [10_000, 997, 64, 257])
@pytest.mark.parametrize("repeats", [1, 50])
def test_counts_give_the_accuracy_of_every_block(images, repeats):
    correct = np.random.default_rng(images).random((repeats, images)) < 0.3
    text = encode_counts(correct)
    blocks = min(100, images)
    assert block_count(text) == blocks
    assert counted_accuracy(text, images) == pytest.approx(correct.mean())
    parts = np.array_split(np.arange(images), blocks)
    without = [np.delete(correct, part, axis=1).mean() for part in parts]
    np.testing.assert_allclose(decode_blocks(text, images), without)
    if images == 10_000:
        means = correct.reshape(repeats, 100, 100).mean(axis=(0, 2))
        replicates = np.append(correct.mean(), decode_blocks(text, images))
        np.testing.assert_allclose(pseudo_values(replicates), means, atol=1e-10)
        joined = [np.delete(correct, range(500 * b, 500 * b + 500), 1).mean() for b in range(20)]
        np.testing.assert_allclose(decode_blocks(text, images, 20), joined)


def test_left_out_values_survive_as_float32():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=400)
    values = leave_blocks_out(lambda kept: float(np.var(sample[kept])), 400)
    assert len(values) == 20
    assert values[3] == pytest.approx(np.var(np.delete(sample, range(60, 80))))
    text = encode_without(values)
    assert block_count(text) == 20
    np.testing.assert_array_equal(decode_blocks(text, 400), values.astype(np.float32))
    with pytest.raises(InputError, match="cannot be read as 10"):
        decode_blocks(text, 400, 10)
