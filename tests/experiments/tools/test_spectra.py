"""Spectra along training: the numbers drawn are those of the views, whatever a kill left behind."""

import json

import numpy as np
import pytest

from experiments.errors import InputError
from experiments.tools.spectra import run_spectra

STEPS = (0, 10, 40)


def _views(step, dim):
    """(images, views, dim): an offset as behind a ReLU, signal, and noise that training removes."""
    rng = np.random.default_rng(dim)
    signal = rng.normal(size=(50, 1, dim)) * np.geomspace(1, 0.1, dim)
    return 3.0 + signal + rng.normal(size=(50, 4, dim)) / (1 + step)


def _write(path, views):
    images, count, dim = views.shape
    flat, sums = views.reshape(-1, dim), views.sum(axis=1)
    covariance = flat.T @ flat / len(flat)
    cross = (sums.T @ sums - len(flat) * covariance) / (len(flat) * (count - 1))
    mean = flat.mean(axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, covariance=covariance, cross_covariance=cross, mean=mean, images=images)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for step in STEPS:
        for name, dim in (("feature", 6), ("embedding", 4)):
            _write(folder / "moments" / f"step_{step:08d}" / f"{name}.npz", _views(step, dim))
        np.savez(folder / "moments" / f"step_{step:08d}" / "head_grams.npz", gram=np.eye(6)[None])
    _write(folder / "moments" / "step_00000040" / "stage1.npz", _views(40, 3))  # not at every step
    (folder / "moments" / "step_later").mkdir()
    lines = [{"step": step, "pixels": 0.3, "feature": 0.4 + step / 100} for step in STEPS]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "neighbors.jsonl").write_text(text + '{"step": 50, "pix')
    return folder


def test_the_numbers_drawn_are_those_of_the_views(run, tmp_path, capsys):
    (figure,) = run_spectra(run, tmp_path / "out")
    assert figure.stat().st_size > 10_000
    drawn = json.loads(figure.with_suffix(".json").read_text())
    assert drawn["steps"] == list(STEPS)
    assert list(drawn["layers"]) == ["feature", "embedding"]
    for name, dim in (("feature", 6), ("embedding", 4)):
        for place, step in enumerate(STEPS):
            views = _views(step, dim)
            flat = views.reshape(-1, dim) - views.mean(axis=(0, 1))
            spectrum = np.linalg.eigvalsh(flat.T @ flat / len(flat))[::-1]
            shares = spectrum / spectrum.sum()
            layer = drawn["layers"][name]
            np.testing.assert_allclose(layer["centered_layer_spectrum"][place], spectrum, rtol=1e-9)
            rank = np.exp(-np.sum(shares * np.log(shares)))
            np.testing.assert_allclose(layer["effective_rank"][place], rank, rtol=1e-9)
            within = np.mean(np.var(views, axis=1, ddof=1), axis=0).sum()
            np.testing.assert_allclose(
                layer["invariance_defect"][place], within / spectrum.sum(), rtol=1e-9
            )
    assert drawn["neighbors"]["steps"] == list(STEPS)
    assert drawn["neighbors"]["accuracies"] == {"feature": [0.4, 0.5, 0.8]}
    assert "effective rank (centered)" in capsys.readouterr().out


def test_a_run_without_moments_is_told_how_to_measure_them(tmp_path):
    with pytest.raises(InputError, match=r"--moments\.every"):
        run_spectra(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_moments_without_a_mean_are_refused(run, tmp_path):
    np.savez(tmp_path / "bare.npz", covariance=np.eye(2), cross_covariance=np.eye(2))
    folder = tmp_path / "run" / "moments" / "step_00000000"
    folder.mkdir(parents=True)
    (tmp_path / "bare.npz").rename(folder / "feature.npz")
    with pytest.raises(InputError, match="holds no mean"):
        run_spectra(tmp_path / "run", tmp_path / "out")
