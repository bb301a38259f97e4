"""The quickstart at tiny sizes: what is measured is what the report reads, and it is consistent."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.core.measurements import Measurement, Run, curve_name, make_table
from experiments.tools.listing import find_missing
from experiments.tools.quickstart.linear import (
    LAYERS,
    Forecast,
    Trained,
    compare_layers,
    compare_sizes,
    find_crossings,
    measure_linear,
)
from experiments.tools.quickstart.record import make_record
from experiments.tools.quickstart.run import PARTS
from experiments.tools.quickstart.settings import HEAD, LINEAR, SIZES, SWEEP
from experiments.tools.quickstart.sweep import measure_sweep

TINY = dataclasses.replace(
    SIZES["smoke"], linear_steps=80, linear_views=2, records=4, sweep_steps=2, sweep_views=2
)


def _table(network, found):
    rows = [item for item in found if isinstance(item, Measurement)]
    curves = {
        curve_name(item.key): item.values for item in found if not isinstance(item, Measurement)
    }
    return make_table(rows, [Run(network, 0, "smoke")], curves)


def test_what_is_compared_of_a_linear_network_is_what_the_report_reads():
    modes, records, dim = 24, 5, 30
    growth = np.linspace(0.1, 1.0, records)[:, None] * np.linspace(1.0, 0.3, dim)
    weights = [[np.diag(size ** (1 / 6))] * 3 for size in growth]
    with jax.enable_x64(True):
        grams = jnp.array(
            [[np.diag(size ** (place / 3)) for place in (1, 2, 3)] for size in growth]
        )
        forecast = Forecast(
            covariance=jnp.eye(dim),
            readers=jnp.eye(dim)[:, :modes],
            alignments=jnp.linspace(1.0, 0.3, modes),
            above_noise=modes,
            grams=grams,
            sizes=growth[:, :modes],
            shallow=growth[:, :modes] ** 1.1,
            shuffled=0.5 * grams[-1, -1],
        )
        covariances = {layer: np.eye(dim) for layer in LAYERS}
        trained = Trained(weights, covariances, np.arange(records, dtype=float))
        found = [*compare_layers(0, forecast, trained), *compare_sizes(0, forecast, trained)]
    table = _table(LINEAR, found)
    assert not find_missing(LINEAR, 0, table, {"quickstart": make_record(TINY)})
    rows = {(r.quantity, r.variant): r.value for r in table.rows.values() if not r.layer}
    # The network is the forecast, exactly.
    for quantity in ("size_error", "course_error", "time_error", "slope_error"):
        assert rows[quantity, "theory"] < 1e-9
    assert rows["size_error", "rival:shuffled"] == pytest.approx(0.5)


@pytest.mark.slow
def test_even_a_short_linear_training_follows_the_layer_law():
    linear = _table(LINEAR, list(measure_linear(TINY, 0)))
    rows = {(r.quantity, r.variant, r.layer, r.level): r.value for r in linear.rows.values()}
    for layer in ("head1", "head2"):
        distance, nearest = (
            rows["gram_distance", variant, layer, "given=map"]
            for variant in ("theory", "rival:nearest")
        )
        assert distance < 0.01 < nearest
    assert rows["slope_error", "theory", "", ""] < 0.01
    assert rows["size_error", "theory", "", ""] < rows["size_error", "rival:start", "", ""]


@pytest.mark.slow
def test_the_report_reads_only_what_is_measured_of_the_sweep():
    found = _table(SWEEP, list(measure_sweep(TINY, 0)))
    missing = find_missing(SWEEP, 0, found, {"quickstart": make_record(TINY)})
    # Where augmentation is too strong for the relaxation nothing is forecast.
    assert not [name for name in missing if "theory" not in name], missing


def test_every_contrast_belongs_to_a_part():
    for tier in ("smoke", "laptop"):
        record = make_record(SIZES[tier])
        assert set(record.networks) == set(PARTS) == {LINEAR, HEAD, SWEEP}
        for contrast in record.contrasts:
            assert "{}" in contrast.says


def test_a_crossing_is_found_between_records_and_unknown_where_it_started_too_large():
    times = np.array([0.0, 1.0, 2.0])
    sizes = np.array([[0.0, 0.6, 0.0], [0.5, 0.9, 0.1], [1.0, 1.0, 0.2]])
    np.testing.assert_allclose(find_crossings(times, sizes, np.full(3, 0.75))[0], 1.5)
    assert np.isnan(find_crossings(times, sizes, np.full(3, 0.75))[1:]).all()


@pytest.mark.slow
def test_the_smoke_run_writes_tables_and_one_page_that_fetches_nothing(tmp_path, capsys):
    assert main(["quickstart", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    assert "too few seeds" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    with (tmp_path / "measurements.csv").open() as file:
        assert {row["network"] for row in csv.DictReader(file)} == set(PARTS)
    run = next((tmp_path / "runs").iterdir())
    assert (run / "config.json").exists()
    assert main(["compare", str(run), "--out", str(tmp_path / "again"), "--views", "4"]) == 0
    assert (tmp_path / "again" / "report.html").exists()
