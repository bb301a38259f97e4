"""The accelerator check: rehearsed on the CPU, and what it says when something goes wrong."""

import argparse
import json
import sys

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.accelerator import command, device, options, precision
from experiments.accelerator.device_tests import TESTS, TINY, check_device
from experiments.accelerator.images import draw_scenes, read_images
from experiments.accelerator.record import describe_step, read_record, start_record
from experiments.accelerator.steps import STEPS, Request, load_step
from experiments.accelerator.tier import run_command
from experiments.accelerator.timing import list_rows, time_row
from experiments.accelerator.training import make_config, train_and_watch
from experiments.accelerator.worker import decode_request, encode_request, run_step
from experiments.errors import InputError


@pytest.fixture
def request_(tmp_path):
    """A rehearsal whose record has been started."""
    path = tmp_path / "record.json"
    start_record(path, {})
    return Request(3600.0, True, None, path)


def _parse(*words):
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("name", ["products", "convolution", "moments"])
def test_a_device_test_passes_on_the_cpu(name):
    results = list(TESTS[name](TINY))
    assert results
    for result in results:
        assert result["passed"], result
        assert 0 <= result["error"] <= result["bound"] < 1e-4


@pytest.mark.parametrize(("bits", "passes"), [(23, True), (10, False), (7, False)])
def test_products_of_rounded_factors_are_seen_and_refused(monkeypatch, bits, passes):
    """A device that rounds factors to float32, TF32 or bfloat16, whatever it is asked for."""

    def compute(function, arguments, precision):
        whole = [np.frexp(argument) for argument in arguments]
        factors = [
            np.ldexp(np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent)
            for mantissa, exponent in whole
        ]
        return np.asarray(function(*factors))

    monkeypatch.setattr(precision, "compute_on_device", compute)
    draws = np.random.default_rng(0)
    factors = tuple(draws.normal(size=(64, 64)).astype(np.float32) for _ in range(2))
    result = precision.judge_precision("product", lambda a, b: a @ b, factors)
    assert result["passed"] == passes
    names = {23: "float32", 10: "TF32 or float16", 7: "bfloat16"}
    assert precision.name_precision(result["at_default"]) == names[bits]


def test_a_test_that_breaks_keeps_none_from_running(monkeypatch, request_):
    def break_down(size):
        raise RuntimeError("no such instruction\nand more")
        yield

    def pass_by(size):
        yield {"what": "second", "passed": True}

    monkeypatch.setattr(
        "experiments.accelerator.device_tests.TESTS", {"first": break_down, "second": pass_by}
    )
    broken, passed = check_device(request_)
    assert broken["message"] == "RuntimeError: no such instruction"
    assert command.is_failure(broken)
    assert not command.is_failure(passed)


def test_rows_are_timed_and_rehearsed_under_the_names_of_the_full_size():
    assert {row.what for row in list_rows(tiny=True)} == {row.what for row in list_rows(tiny=False)}
    (row,) = (row for row in list_rows(tiny=True) if row.what == "moments")
    result = time_row(row, 0.0)
    assert result["rounds"] == 1
    assert 0 < result["low"] <= result["ours"] <= result["high"]
    assert result["first_call_seconds"] > 0


def test_training_is_watched_from_before_its_first_step_to_its_last(request_):
    run, *steps = train_and_watch(request_)
    assert (run["train"], run["test"], run["steps"]) == (32, 16, 4)
    assert [step["step"] for step in steps] == [0, 1, 2, 3, 4]
    assert all(0 <= step["knn_feature"] <= 1 for step in steps)
    assert all(np.isfinite(step["loss"]) for step in steps[1:])


def test_a_training_takes_the_steps_that_its_time_holds():
    config = make_config(50_000, 0.05, 200.0)
    assert config.num_steps == 2400
    assert config.optimizer.warmup_steps == 120
    assert make_config(100, None, 1.0).batch_size == 100


def test_scenes_show_digits_that_no_color_gives_away():
    train, test = draw_scenes(40, 20)
    assert train.images.shape == (40, 32, 32, 3)
    assert set(train.labels) <= set(range(10))
    assert not np.array_equal(train.images[:20], test.images)


def test_images_come_from_a_file_that_says_which_are_for_testing(tmp_path):
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "one.npz", images=images, labels=labels)
    train, test = read_images(tmp_path / "one.npz")
    assert (len(train), len(test)) == (18, 2)
    np.testing.assert_array_equal(test.images, images[9::10])
    np.savez(
        tmp_path / "two.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:4],
        test_labels=labels[:4],
    )
    train, test = read_images(tmp_path / "two.npz")
    assert (len(train), len(test)) == (20, 4)


def test_results_are_kept_as_soon_as_they_are_there(monkeypatch, request_):
    def yield_two(request):
        yield {"what": "first"}
        assert len(read_record(request.record)["steps"]["speed"]["results"]) == 1
        yield {"what": "second"}
        raise RuntimeError("taken away")

    monkeypatch.setattr("experiments.accelerator.worker.load_step", lambda name: yield_two)
    describe_step(request_.record, "speed", status="running")
    with pytest.raises(RuntimeError, match="taken away"):
        run_step("speed", request_)
    results = read_record(request_.record)["steps"]["speed"]["results"]
    assert [result["what"] for result in results] == ["first", "second"]


@pytest.mark.parametrize(
    ("program", "seconds", "status", "message"),
    [
        ("pass", 30.0, "done", ""),
        ("raise SystemExit('no memory left')", 30.0, "failed", "no memory left"),
        ("import time; time.sleep(60)", 0.2, "out of time", ""),
    ],
)
def test_a_step_of_its_own_process_ends_in_one_of_three_ways(
    request_, program, seconds, status, message
):
    request = request_._replace(seconds=seconds)
    command.run_isolated("speed", request, [sys.executable, "-c", program])
    step = read_record(request.record)["steps"]["speed"]
    assert (step["status"], step["message"]) == (status, message)
    assert command.has_failed(step) == (status == "failed")


def test_a_tier_is_stopped_when_its_time_is_over_and_says_how_far_it_came(tmp_path):
    folder = tmp_path / "tier"
    for name in ("base-0", "weak-0"):
        (folder / "networks" / name).mkdir(parents=True)
    (folder / "networks" / "base-0" / "runs.csv").touch()
    program = "import time; print('network 1 of 9', flush=True); time.sleep(60)"
    result = run_command([sys.executable, "-c", program], folder, 1.0)
    assert result["networks"] == ["base-0"]
    assert result["exit"] is None
    assert not command.is_failure(result)
    ended = run_command([sys.executable, "-c", "print('no data'); exit(2)"], folder, 30.0)
    assert (ended["exit"], ended["said"]) == (2, "no data")
    assert command.is_failure(ended)


def _answer(monkeypatch, platform):
    """Let every step answer at once."""

    def run(name, request, command=()):
        results = [{"what": "device", "platform": platform}] if name == "device" else []
        describe_step(request.record, name, status="done", seconds=0.1, results=results)

    monkeypatch.setattr(command, "run_isolated", run)


def test_a_missing_accelerator_is_said_and_leaves_no_file(monkeypatch, tmp_path):
    _answer(monkeypatch, "cpu")
    out = tmp_path / "record.json"
    with pytest.raises(InputError, match="only the CPU") as raised:
        command.run_accelerator(_parse("--out", str(out)))
    assert "\n" not in str(raised.value)
    assert not out.exists()


def test_the_steps_chosen_run_in_order_and_the_record_says_under_which_versions(
    monkeypatch, tmp_path, capsys
):
    _answer(monkeypatch, "gpu")
    out = tmp_path / "record.json"
    assert command.run_accelerator(_parse("--out", str(out), "--steps", "training,tests")) == 0
    record = json.loads(out.read_text())
    assert list(record["steps"]) == ["device", "tests", "training"]
    assert "jax=" in record["environment"]["versions"]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "device: done, 1 result in 0.1 s"
    assert shown[-1] == f"record: {out}"


def test_steps_for_which_no_time_is_left_are_named(monkeypatch, tmp_path):
    _answer(monkeypatch, "gpu")
    out = tmp_path / "record.json"
    command.run_accelerator(_parse("--out", str(out), "--minutes", "0.01"))
    steps = read_record(out)["steps"]
    assert {step["status"] for step in steps.values()} == {"left out"}
    assert list(steps) == list(STEPS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "tests,dance"), "'dance'; wanted some of device, tests"),
        (("--steps", ","), "names nothing"),
        (("--minutes", "0"), "wanted a positive number"),
        (("--data", "/none.npz"), "no such file"),
        (("--out", "/proc/nowhere/a.json"), "cannot write"),
    ],
)
def test_careless_input_is_refused_in_one_line(words, message):
    with pytest.raises(InputError, match=message):
        command.run_accelerator(_parse(*words))


def test_a_request_reaches_the_process_of_its_step(tmp_path):
    request = Request(1.5, True, tmp_path / "my images.npz", tmp_path / "a.json")
    assert decode_request(encode_request(request)) == request
    assert decode_request(encode_request(request._replace(data=None))).data is None


def test_the_device_is_described_with_its_versions(request_):
    described, driver = device.describe_device(request_)
    assert described["platform"] == "cpu"
    assert {"jax", "jaxlib"} <= set(described["versions"])
    assert isinstance(driver["devices"], list)


def test_every_step_of_the_table_can_be_loaded():
    for name in STEPS:
        assert callable(load_step(name))


@pytest.mark.slow
def test_the_whole_check_is_rehearsed_in_its_own_processes(tmp_path):
    out = tmp_path / "record.json"
    words = ("--rehearse", "--steps", "tests,speed,training", "--minutes", "20")
    assert command.run_accelerator(_parse(*words, "--out", str(out))) == 0
    steps = read_record(out)["steps"]
    assert {step["status"] for step in steps.values()} == {"done"}
    assert {row["what"] for row in steps["speed"]["results"]} == {
        row.what for row in list_rows(tiny=True)
    }
    assert all(result["passed"] is not False for result in steps["tests"]["results"])


def test_the_program_refuses_what_is_no_step(capsys):
    assert main(["accelerator", "--steps", "dance"]) == 2
    assert capsys.readouterr().err.startswith("error: --steps names 'dance'")
