import json
import subprocess
import sys

import numpy as np
import pytest

from ssljax.cli.main import COMMANDS, main
from ssljax.config.presets import PRESETS
from ssljax.system.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with images.npz and a run on them."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    np.savez(
        folder / "images.npz",
        images=random.integers(0, 256, (48, 4, 4, 1)).astype(np.uint8),
        labels=(np.arange(48) % 3).astype(np.int32),
        test_images=random.integers(0, 256, (24, 4, 4, 1)).astype(np.uint8),
        test_labels=(np.arange(24) % 3).astype(np.int32),
    )
    assert main(["train", "digits_linear", *_options(folder), "--num-steps=20"]) == 0
    return folder


def _options(folder):
    return [
        f"--data=arrays:{folder / 'images.npz'}",
        f"--workdir={folder / 'run'}",
        "--policy=noise",
        "--head.widths=6,4",
        "--batch-size=16",
        "--split=train",
        "--moments.views=0",
        "--optimizer.learning-rate=0.001",
    ]


def _refused(capsys, *arguments: str) -> str:
    """The one line with which arguments are refused."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ssljax: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no command given; wanted one of list"),
        ("trian digits_smoke", "did you mean train?"),
        ("train", "no preset given: write train PRESET"),
        ("train digit_smoke", "did you mean digits_smoke"),
        ("train digits_smoke --optimizer.lr 1", "unknown argument --optimizer.lr"),
        ("train digits_smoke --head.kind tree", "invalid choice: 'tree'"),
        ("train digits_smoke --data nothing", "unknown data set 'nothing'"),
        ("train digits_smoke --data arrays:/none.npz", "no file /none.npz"),
        ("train digits_smoke --split validation", "unknown split 'validation'"),
        ("train digits_smoke --batch-size 30 --devices 8", "use 24 or 32"),
        ("train digits_smoke --workdir /dev/null/run", "cannot be written"),
        ("train digits_smoke --num-steps ten", "wanted an integer, got 'ten'"),
        ("train digits_smoke --policy strong", "unknown policy 'strong'"),
        ("train digits_smoke --freeze tail", "freeze must be encoder, head or both"),
        ("show nothing", "unknown preset 'nothing'"),
        ("runs --jsn", "did you mean --json?"),
        ("sweep digits_mlp --grid strength", "has no value: write --grid strength=0.2"),
        ("launch --processes 2 -- list", "launch runs train, got list"),
        ("probe /nowhere", "give the folder of a run"),
        ("spectra /nowhere", "give the folder of a run"),
        ("export /nowhere --out weights.npz", "give the folder of a run"),
        ("export /nowhere --out weights.txt", "must end in .npz or .safetensors"),
        ("probe /nowhere --path 1e-2,strong", "wanted a number, got 'strong'"),
        ("probe /nowhere --probe adam", "invalid choice: 'adam'"),
        ("train digits_smoke --moments.every 10 --moments.views 0", "at least 2 where"),
        ("train digits_smoke --evaluation.path 0.1 --evaluation.probe sgd", "lbfgs where"),
        ("train digits_smoke --online-probe.layers head9", "no layer 'head9'"),
        ("moments digits --out /nowhere/m.npz", "a folder that does not exist"),
        ("moments digits --out m.npz --strength -1", "strength must be zero or more, got -1.0"),
        ("moments digits --out m.npz --images 99999", "99999 images were asked for"),
        (
            "moments digits --out m.npz --policy.noise -1",
            "policy.noise must be zero or more, got -1.0",
        ),
        ("moments nothing --out m.npz", "unknown data set 'nothing'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in _refused(capsys, *arguments.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(capsys, command):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"\n  python -m ssljax {command}" in text
    assert "usage:" in text


def test_the_help_of_a_preset_shows_its_own_defaults(capsys):
    assert main(["train", "digits_linear", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--num-steps N training steps (default: 4000)" in text
    assert "--policy.noise X plus Gaussian noise" in text
    assert "--force [true|false]" in text


def test_list_is_a_table_of_every_preset(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(PRESETS) + 1]] == list(PRESETS)
    assert max(map(len, lines)) <= 100
    assert "83.2 % k-NN, 85.6 % probe" in next(x for x in lines if "simclr_cifar10_100ep" in x)
    assert any("dkobak/simclr-cifar10" in line for line in lines[len(PRESETS) :])


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_traceback():
    code = "import sys; from ssljax.cli.main import main; sys.exit(main(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", f"input(); {code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()  # as `head` does, before anything is printed
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_the_help_names_every_exit_code(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {code} " in text for code in (0, 1, 2, 74, 75, 130, 137, 143))
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_show_prints_purpose_and_every_field(capsys):
    assert main(["show", "digits_linear"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("A linear model of depth three")
    assert "--head.widths                        64,64,64" in text


def test_train_ends_with_a_table_and_resumes_with_the_same_command(folder, capsys):
    assert main(["train", "digits_linear", *_options(folder), "--num-steps=20"]) == 0
    text = capsys.readouterr().out
    assert "step                     20" in text
    assert "feature probe_accuracy" in text
    assert str(folder / "run") in text


def test_another_configuration_in_the_same_folder_is_refused(folder, capsys):
    line = _refused(capsys, "train", "digits_linear", *_options(folder), "--num-steps=30")
    assert "differs in num_steps" in line


def test_probe_prints_accuracies_of_the_layers_asked_for(folder, capsys):
    assert main(["probe", str(folder / "run"), "--layers", "head1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["LAYER", "PROBE", "K-NN"]
    assert lines[1].startswith("head1 ")
    written = json.loads((folder / "run" / "evaluation.json").read_text())
    assert 0 <= written["head1"]["probe_accuracy"] <= 1
    page = (folder / "run" / "report.html").read_text()
    assert f"<td>head1</td><td>{written['head1']['probe_accuracy']:.4f}</td>" in page
    assert "no layer 'head5'" in _refused(capsys, "probe", str(folder / "run"), "--layers", "head5")


def test_probe_takes_every_way_to_probe_and_says_how_it_was_done(folder, capsys):
    run = str(folder / "run")
    options = "--layers embedding --probe sgd --no-standardize --few-shot 2 --few-shot-draws 2"
    out = folder / "transfer.json"
    data = f"arrays:{folder / 'larger.npz'}"
    with np.load(folder / "images.npz") as file:
        larger = {name: np.repeat(np.repeat(v, 2, 1), 2, 2) if v.ndim == 4 else v
                  for name, v in file.items()}  # fmt: skip
    np.savez(folder / "larger.npz", **larger)
    assert main(["probe", run, *options.split(), "--on", data, "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == [
        "LAYER",
        "PROBE",
        "K-NN",
        "FEW-SHOT-2",
    ]
    written = json.loads(out.read_text())
    assert written["protocol"]["probe"] == "sgd"
    assert written["protocol"]["standardized"] is False
    assert written["protocol"]["data"] == data
    for part in ("training", "test"):
        counts = [written["protocol"][f"{part}_images{end}"] for end in ("", "_available")]
        assert counts[0] == counts[1] > 0
    assert 0 <= written["embedding"]["few_shot_2_accuracy"] <= 1
    line = _refused(capsys, "probe", run, "--few-shot", "1000")
    assert "1000 shots, but the smallest class has 16" in line
    assert "give --l2 another" in _refused(capsys, "probe", run, "--l2", "-1")
    assert "unknown data set 'nothing'" in _refused(capsys, "probe", run, "--on", "nothing")
    assert "does not exist" in _refused(capsys, "probe", run, "--out", "/nowhere/x.json")


def test_a_run_is_an_encoder_in_three_lines(folder):
    import ssljax

    model = ssljax.load(folder / "run")
    with np.load(folder / "images.npz") as file:
        images = file["images"]
    outputs = model.layers(images, ("input", "head1", "embedding"))
    run = model.run
    weight = np.asarray(run.state.params["head"]["layer1"]["kernel"], float)
    own = {name: np.asarray(value, float) for name, value in run.state.statistics["input"].items()}
    pixels = (images / 255.0 - own["mean"]) * own["scale"]
    np.testing.assert_allclose(outputs["input"], pixels.reshape(48, -1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        outputs["head1"], pixels.reshape(48, -1) @ weight, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(
        model.encoder(images), outputs["input"]
    )  # nothing before the head
    for wrong in (images / 255.0, images[:, :2], images[0]):
        with pytest.raises(UsageError, match=r"wanted uint8 \(n, 4, 4, 1\)"):
            model.encoder(wrong)
    with pytest.raises(UsageError, match="no layer 'stage9'"):
        model.layers(images, ("stage9",))


def test_importing_the_package_brings_nothing_with_it():
    code = "import sys, ssljax; print('jax' in sys.modules, 'numpy' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["False", "False"]


def test_the_program_starts_without_what_only_training_needs():
    heavy = {"jax", "flax", "optax", "orbax", "tyro", "numpy", "scipy"}
    code = f"import sys, ssljax.__main__; print({heavy} & sys.modules.keys())"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


def test_an_encoder_without_arrays_cannot_be_exported_for_torch(folder, capsys):
    out = str(folder / "encoder.safetensors")
    assert "no arrays of its own" in _refused(capsys, "export", str(folder / "run"), "--out", out)


def test_spectra_writes_moments_and_head_weights(folder, capsys):
    run = folder / "run"
    assert main(["spectra", str(run), "--layers", "input,head1", "--views", "3"]) == 0
    paths = capsys.readouterr().out.splitlines()
    assert paths == [
        str(run / "moments" / f"{name}.npz")
        for name in ("input", "head1", "head_weights", "head_grams")
    ]
    with np.load(paths[1]) as moments, np.load(paths[2]) as weights, np.load(paths[0]) as first:
        assert moments["covariance"].shape == (6, 6)
        # head1 is W1 times the input, view by view: so are its moments.
        for name in ("covariance", "cross_covariance"):
            wanted = weights["W1"] @ first[name] @ weights["W1"].T
            np.testing.assert_allclose(moments[name], wanted, rtol=1e-4, atol=1e-6)


def test_export_holds_every_weight(folder, capsys):
    out = folder / "weights.npz"
    assert main(["export", str(folder / "run"), "--out", str(out)]) == 0
    with np.load(out) as arrays, np.load(folder / "run" / "moments" / "head_weights.npz") as head:
        np.testing.assert_array_equal(arrays["params/head/layer2/kernel"].T, head["W2"])
        assert arrays["statistics/input/mean"].shape == (4, 4, 1)


def test_moments_of_a_data_set_are_those_of_its_pixels(folder, capsys):
    out = folder / "moments.npz"
    data = f"arrays:{folder / 'images.npz'}"
    options = ["--policy=identity", "--centre", "--views=2", f"--out={out}"]
    assert main(["moments", data, *options]) == 0
    with np.load(out) as moments, np.load(folder / "images.npz") as file:
        pixels = file["images"].reshape(48, -1) / 255.0
        covariance = np.cov(pixels.T, bias=True)
        np.testing.assert_allclose(moments["covariance"], covariance, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(moments["cross_covariance"], covariance, rtol=1e-4, atol=1e-6)


def test_a_damaged_run_folder_is_one_line(folder, capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"num_steps": ')
    assert "is not JSON" in _refused(capsys, "probe", str(tmp_path))
    (tmp_path / "config.json").write_text('{"num_step": 3}')
    assert "did you mean num_steps" in _refused(capsys, "probe", str(tmp_path))
