"""The balance ledger's experiment: machinery at smoke scale, and what its rows are made of."""

import numpy as np

from experiments import ledger
from experiments.results import read_results


def test_the_ledger_at_smoke_scale_holds_to_rounding_even_there(tmp_path, trained_cache):
    results = ledger.run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {14}
    # The identity does not care how small the network is.
    assert all(row.measured + row.spread < row.tolerance for row in results.rows[:2])
    assert [row.verdict for row in results.rows[2:]] == ["holds", "holds"]
    for row in results.rows:
        assert np.isfinite([row.measured, row.error, row.tolerance, row.spread]).all()
    assert read_results(tmp_path / "results.json").rows == results.rows
    page = (tmp_path / "report.html").read_text()
    assert "NT-Xent" in page
    assert (tmp_path / "ledger.png").stat().st_size > 10_000


def test_the_null_is_the_closest_of_those_that_must_fail():
    def runs(account, decay):
        one = ledger._Followed(np.array([0.0, account]), np.array([0.0, decay]), np.ones(2))
        return [one, one]

    found = {
        "ledger": runs(1e-6, 0.3),
        "ledger-cosine": runs(2e-5, 0.5),
        "ledger-momentum": runs(0.02, 1.0),
        "ledger-adam": runs(5e-4, 1.0),
    }
    rows = ledger._rows(found, "test data")
    assert [row.verdict for row in rows] == ["holds", "fails", "holds", "fails"]
    assert rows[0].null == 5e-4
    assert rows[0].measured == 1e-6


def test_errors_are_relative_to_the_imbalance_itself():
    lines = [
        {"balance/1": 0.5, "ledger_error/1": 1e-3, "decay_error/1": 0.25},
        {"balance/1": 0.1, "ledger_error/1": 2e-3, "decay_error/1": 0.05},
    ]
    found = ledger._followed(lines)
    np.testing.assert_allclose(found.account, [2e-3, 2e-2])
    np.testing.assert_allclose(found.decay_only, [0.5, 0.5])
