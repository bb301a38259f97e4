"""Models are measured, judged and drawn by the runner like networks."""

import pytest

from experiments.core.runner import Job, run_jobs
from experiments.errors import InputError
from experiments.measure.network import measure_network
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS


def test_the_runner_measures_a_model(tmp_path):
    jobs = [Job("diagonal", seed, "smoke", "") for seed in (0, 1)]
    table = run_jobs(jobs, tmp_path, measure_network)
    assert table.seeds("diagonal") == (0, 1)
    assert find_missing("diagonal", 1, table, EXPERIMENTS) == ()
    with pytest.raises(InputError, match="nothing is measured on 'unknown'"):
        measure_network("unknown", 0, "smoke")
