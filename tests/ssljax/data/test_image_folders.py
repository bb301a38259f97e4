import csv
import itertools

import numpy as np
import pytest
from PIL import Image

from ssljax.data.datasets import load_dataset
from ssljax.data.folders import Decoded, open_class_folders, open_urbancars, open_waterbirds
from ssljax.data.sources import damage_report, read_into_memory
from ssljax.system.errors import UsageError


def paint(path, color, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def waterbirds(root):
    rows = []
    for index, (y, place, split) in enumerate(itertools.product((0, 1), (0, 1), (0, 1, 2))):
        name = f"{index:03d}.Bird/bird_{index}.png"
        paint(root / name, (100 * y, 100 * place, 50 * split))
        rows.append({"img_id": index, "img_filename": name, "y": y, "split": split, "place": place})
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return root


def test_waterbirds_groups_are_bird_and_place_of_the_right_split(tmp_path):
    steps = []
    loaded = load_dataset(
        f"waterbirds:{waterbirds(tmp_path)}",
        "val",
        side=8,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert loaded.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(loaded.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(loaded.groups, [0, 1, 2, 3])
    assert loaded.group_names[1] == "landbird on water"
    corner = loaded.images[:, 0, 0]
    np.testing.assert_array_equal(corner[:, 0], 100 * loaded.labels)
    np.testing.assert_array_equal(corner[:, 1], 100 * (loaded.groups % 2))
    np.testing.assert_array_equal(corner[:, 2], 50)
    assert steps == [(4, 4)]


def test_urbancars_groups_are_car_background_and_object(tmp_path):
    names = ("urban", "country")
    for ratio, split in (("0.95", "train"), ("0.5", "test")):
        folder = tmp_path / f"bg-{ratio}_co_occur_obj-{ratio}" / split
        for a, b, c in itertools.product(range(2), repeat=3):
            inside = folder / f"obj-{names[a]}_bg-{names[b]}_co_occur_obj-{names[c]}"
            for copy in range(2 if split == "train" else 1):
                paint(inside / f"{copy}.png", (100 * a, 100 * b, 100 * c))
    loaded = load_dataset(f"urbancars:{tmp_path}", "train", side=6)
    assert len(loaded.groups) == 16
    color = loaded.images[:, 0, 0] // 100
    np.testing.assert_array_equal(color @ [4, 2, 1], loaded.groups)
    np.testing.assert_array_equal(color[:, 0], loaded.labels)
    assert loaded.group_names[5] == "country car, urban background, country object"
    assert len(open_urbancars(tmp_path, "test", Decoded(6))) == 8
    with pytest.raises(UsageError, match=r"bg-0\.5_co_occur_obj-0\.5/val"):
        open_urbancars(tmp_path, "val", Decoded(6))


def test_what_is_hidden_empty_or_no_image_is_left_out_and_named_once(tmp_path, capsys):
    for name in ("dog", "kätzchen", "鳥"):
        paint(tmp_path / name / "bild één.JPG", (9, 9, 9))
    paint(tmp_path / ".ipynb_checkpoints" / "a.png", (1, 1, 1))
    paint(tmp_path / "__MACOSX" / "dog" / "a.png", (1, 1, 1))
    paint(tmp_path / "dog" / ".thumbs" / "a.png", (1, 1, 1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    for junk in ("dog/._0.JPG", "dog/.DS_Store", "dog/Thumbs.db", "notes/read me.txt", ".DS_Store"):
        (tmp_path / junk).write_bytes(b"junk")
    loaded = load_dataset(f"folder:{tmp_path}", "train", side=4)
    assert loaded.class_names == ("dog", "kätzchen", "鳥")
    assert loaded.labels.tolist() == [0, 1, 2]  # classes of a single image
    told = capsys.readouterr().err
    assert "left out .DS_Store, .ipynb_checkpoints, __MACOSX, dog/.DS_Store and 5 more" in told
    load_dataset(f"folder:{tmp_path}", "train", side=4)
    assert capsys.readouterr().err == ""


def test_a_flat_folder_of_images_has_no_classes(tmp_path):
    for number in range(3):
        paint(tmp_path / f"{number}.png", (number, 0, 0))
    (tmp_path / "empty").mkdir()
    loaded = load_dataset(f"folder:{tmp_path}", "train", side=4)
    assert loaded.labels.tolist() == [-1, -1, -1]
    assert not loaded.is_labeled
    assert loaded.num_classes == 0
    with pytest.raises(UsageError, match="has no test images"):
        load_dataset(f"folder:{tmp_path}", "test", side=4)


def test_class_folders_are_sorted_and_scaled_to_the_middle_square(tmp_path):
    paint(tmp_path / "01_bird" / "b.png", (9, 9, 9))
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    (tmp_path / "00_dog").mkdir()
    Image.fromarray(wide).save(tmp_path / "00_dog" / "a.png")
    loaded = load_dataset(f"folder:{tmp_path}", "train", side=10)
    assert loaded.class_names == ("00_dog", "01_bird")
    assert loaded.groups is None
    np.testing.assert_array_equal(loaded.labels, [0, 1])
    np.testing.assert_array_equal(loaded.images[0], 200)


def test_classes_are_those_of_all_splits_so_that_no_label_shifts(tmp_path, capsys):
    """ImageNet-9's layout: val folders; and a training class without test images."""
    for name in ("00_dog", "01_bird", "02_car"):
        paint(tmp_path / "train" / name / "a.png", (1, 1, 1))
    for name in ("00_dog", "02_car"):
        paint(tmp_path / "val" / name / "b.png", (2, 2, 2))
    test = load_dataset(f"folder:{tmp_path}", "test", side=4)
    assert test.labels.tolist() == [0, 2]
    assert test.num_classes == 3
    assert len(open_class_folders(tmp_path, "train", Decoded(4))) == 3
    assert open_class_folders(tmp_path / "val", "train", Decoded(4)).num_classes == 2
    with pytest.raises(UsageError, match="has no test images"):
        open_class_folders(tmp_path / "val", "test", Decoded(4))
    paint(tmp_path / "val" / "03_emu" / "b.png", (2, 2, 2))
    assert load_dataset(f"folder:{tmp_path}", "train", side=4).num_classes == 4
    assert "no training images of 03_emu" in capsys.readouterr().err


def damaged_folder(root):
    """Four images, one of them no image and two cut short."""
    paint(root / "a" / "good.png", (1, 2, 3))
    (root / "a" / "bad.png").write_bytes(b"not an image")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    for name in ("cut.png", "cut.jpg"):
        (root / "b").mkdir(exist_ok=True)
        Image.fromarray(noise).save(root / "b" / name)
        whole = (root / "b" / name).read_bytes()
        (root / "b" / name).write_bytes(whole[: len(whole) // 2])
    return root


def test_damaged_files_are_refused_or_left_out_counted_and_named(tmp_path):
    source = open_class_folders(damaged_folder(tmp_path), "train", Decoded(4))
    with pytest.raises(UsageError, match=r"bad\.png.*--on-damaged skip") as error:
        read_into_memory(source)
    assert "\n" not in str(error.value)
    loaded = read_into_memory(source, on_damaged="skip")
    assert len(loaded.labels) == len(loaded.images) == 1
    names = sorted(name.rsplit("/", 1)[1] for name in loaded.damaged)
    assert names == ["bad.png", "cut.jpg", "cut.png"]
    report = damage_report(loaded.damaged, source.name)
    assert report.startswith("3 damaged images of")
    assert "cut.png" in report
    with pytest.raises(UsageError, match="none of the 2 images"):
        read_into_memory(source, on_damaged="skip", indices=[0, 2])


def test_a_set_beyond_the_limit_is_never_read_into_memory(tmp_path):
    paint(tmp_path / "a" / "a.png", (1, 2, 3))
    with pytest.raises(UsageError, match=r"takes 0\.1 GiB.*limit is 0\.01 GiB.*--stream"):
        load_dataset(f"folder:{tmp_path}", "train", side=7000, limit_gib=0.01)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path):
    y, x = np.mgrid[0:400, 0:400] / 400
    smooth = np.stack([255 * x, 255 * y, 128 + 100 * np.sin(6 * x)], axis=-1).astype(np.uint8)
    for name in ("a.jpg", "b.png"):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(smooth).save(tmp_path / "a" / name, quality=95)
    jpeg, png = load_dataset(f"folder:{tmp_path}", "train", side=32).images.astype(int)
    assert np.abs(jpeg - png).max() <= 5


def test_missing_folders_tables_and_splits_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        open_waterbirds(tmp_path / "no", "train", Decoded(8))
    with pytest.raises(UsageError, match=r"metadata\.csv"):
        open_waterbirds(tmp_path, "train", Decoded(8))
    with pytest.raises(UsageError, match="train, val or test"):
        open_waterbirds(tmp_path, "valid", Decoded(8))
    (tmp_path / "metadata.csv").write_text("img_filename,y,place,split\na.png,3,0,0\n")
    with pytest.raises(UsageError, match="other classes"):
        open_waterbirds(tmp_path, "train", Decoded(8))
    with pytest.raises(UsageError, match="no images"):
        open_class_folders(tmp_path, "train", Decoded(8))
