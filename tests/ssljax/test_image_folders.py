import csv
import itertools

import numpy as np
import pytest
from PIL import Image

from ssljax.errors import UsageError
from ssljax.image_folders import load_class_folders, load_urbancars, load_waterbirds


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
    loaded = load_waterbirds(
        waterbirds(tmp_path), "val", 8, progress=lambda done, total: steps.append((done, total))
    )
    assert loaded.dataset.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(loaded.dataset.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(loaded.groups, [0, 1, 2, 3])
    assert loaded.group_names[1] == "landbird on water"
    corner = loaded.dataset.images[:, 0, 0]
    np.testing.assert_array_equal(corner[:, 0], 100 * loaded.dataset.labels)
    np.testing.assert_array_equal(corner[:, 1], 100 * (loaded.groups % 2))
    np.testing.assert_array_equal(corner[:, 2], 50)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_urbancars_groups_are_car_background_and_object(tmp_path):
    names = ("urban", "country")
    for ratio, split in (("0.95", "train"), ("0.5", "test")):
        folder = tmp_path / f"bg-{ratio}_co_occur_obj-{ratio}" / split
        for a, b, c in itertools.product(range(2), repeat=3):
            inside = folder / f"obj-{names[a]}_bg-{names[b]}_co_occur_obj-{names[c]}"
            for copy in range(2 if split == "train" else 1):
                paint(inside / f"{copy}.png", (100 * a, 100 * b, 100 * c))
    loaded = load_urbancars(tmp_path, "train", 6)
    assert len(loaded.groups) == 16
    color = loaded.dataset.images[:, 0, 0] // 100
    np.testing.assert_array_equal(color @ [4, 2, 1], loaded.groups)
    np.testing.assert_array_equal(color[:, 0], loaded.dataset.labels)
    assert loaded.group_names[5] == "country car, urban background, country object"
    assert len(load_urbancars(tmp_path, "test", 6).groups) == 8
    with pytest.raises(UsageError, match=r"bg-0\.5_co_occur_obj-0\.5/val"):
        load_urbancars(tmp_path, "val", 6)


def test_class_folders_are_sorted_and_scaled_to_the_middle_square(tmp_path):
    paint(tmp_path / "01_bird" / "b.png", (9, 9, 9))
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    (tmp_path / "00_dog").mkdir()
    Image.fromarray(wide).save(tmp_path / "00_dog" / "a.png")
    (tmp_path / "00_dog" / "notes.txt").write_text("no image")
    loaded = load_class_folders(tmp_path, 10)
    assert loaded.group_names == ("00_dog", "01_bird")
    np.testing.assert_array_equal(loaded.dataset.labels, [0, 1])
    np.testing.assert_array_equal(loaded.dataset.images[0], 200)


def test_damaged_files_are_refused_or_skipped_and_named(tmp_path):
    paint(tmp_path / "a" / "good.png", (1, 2, 3))
    (tmp_path / "a" / "bad.png").write_bytes(b"not an image")
    paint(tmp_path / "b" / "cut.png", (4, 5, 6), size=(300, 300))
    cut = (tmp_path / "b" / "cut.png").read_bytes()
    (tmp_path / "b" / "cut.png").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(UsageError, match=r"bad\.png.*damaged='skip'"):
        load_class_folders(tmp_path, 4)
    loaded = load_class_folders(tmp_path, 4, damaged="skip")
    assert len(loaded.groups) == 1
    assert sorted(name.rsplit("/", 1)[1] for name in loaded.skipped) == ["bad.png", "cut.png"]


def test_missing_folders_tables_and_splits_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        load_waterbirds(tmp_path / "no", "train", 8)
    with pytest.raises(UsageError, match=r"metadata\.csv"):
        load_waterbirds(tmp_path, "train", 8)
    with pytest.raises(UsageError, match="train, val or test"):
        load_waterbirds(tmp_path, "valid", 8)
    (tmp_path / "metadata.csv").write_text("img_filename,y,place,split\na.png,3,0,0\n")
    with pytest.raises(UsageError, match="other classes"):
        load_waterbirds(tmp_path, "train", 8)
    with pytest.raises(UsageError, match="no images"):
        load_class_folders(tmp_path, 8)
