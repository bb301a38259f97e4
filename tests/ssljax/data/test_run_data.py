import dataclasses

import numpy as np
import pytest
from PIL import Image

from ssljax.config.config import Config
from ssljax.data.run_data import Reading, read_measured_images, read_training_data
from ssljax.measure.measurements import load_pair
from ssljax.system.errors import UsageError


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Twelve photographs of two classes, one of them cut short; all of them are 2304 bytes."""
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "val"):
        for number in range(12):
            path = root / split / str(number % 2) / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 12), (20 * number, 0, 0)).save(path)
    cut = root / "train" / "1" / "11.png"
    cut.write_bytes(cut.read_bytes()[:50])
    return Reading(f"folder:{root}", side=8, on_damaged="skip")


SMALL = 1000 / 2**30


def test_a_small_set_is_in_memory_and_what_is_damaged_is_said(config, capsys):
    dataset, source = read_training_data(config, "train")
    assert source is None
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200, 20, 60, 100, 140, 180]
    assert capsys.readouterr().err.startswith("1 damaged image of")
    with pytest.raises(UsageError, match=r"11\.png cannot be decoded"):
        read_training_data(config._replace(on_damaged="refuse"), "train")


def test_a_large_set_is_streamed_and_a_sample_of_it_read(config, capsys):
    dataset, source = read_training_data(config._replace(resident_gib=SMALL), "train")
    assert source is not None
    assert len(source) == 12
    # 5 of 12 fit; evenly spaced, the damaged last one is left out.
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 80, 200, 100]
    assert "measuring on 5 of 12 images, evenly spaced" in capsys.readouterr().err
    everything, source = read_training_data(config._replace(stream="always"), "train")
    assert source is not None
    assert len(everything) == 11


def test_features_of_a_large_set_are_measured_on_what_fits(config):
    small = config._replace(resident_gib=SMALL)
    assert len(read_measured_images(small, "test")) == 5
    assert len(read_measured_images(config, "test")) == 12


def test_an_evaluation_of_what_fits_names_its_numbers_and_the_option(config, capsys):
    run = Config(data=config.name, image_side=8, on_damaged="skip", resident_gib=SMALL)
    assert load_pair(run, None) is not None
    assert "4 training and 5 test images" in (said := capsys.readouterr().err)
    assert "--evaluation.images N" in said
    assert load_pair(dataclasses.replace(run, resident_gib=1.0), None) is not None
    assert "--evaluation.images" not in capsys.readouterr().err


def test_a_large_set_that_must_not_be_streamed_is_refused(config):
    with pytest.raises(UsageError, match=r"--stream auto.*--resident-gib"):
        read_training_data(config._replace(stream="never", resident_gib=SMALL), "train")


def test_what_is_in_memory_anyway_is_streamed_only_when_asked():
    digits = Reading("digits")
    assert read_training_data(digits, "train").source is None
    dataset, source = read_training_data(digits._replace(stream="always"), "train")
    assert source is not None
    np.testing.assert_array_equal(source.read([7])[0].image, dataset.images[7])


def test_photographs_are_kept_whole_for_random_crops_and_measured_in_the_middle(config):
    dataset, _ = read_training_data(config._replace(crops=True), "train")
    assert dataset.images.shape[1:] == (11, 10, 3)  # 10 = 9/7 of 8, and the row of aspects
    assert dataset.image_shape == (8, 8, 3)
    assert read_measured_images(config._replace(crops=True), "test").images.shape[1:] == (8, 8, 3)
