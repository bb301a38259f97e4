"""A machine with few packages besides jax, flax, optax and orbax trains on arrays from a file."""

import json
import subprocess
import sys

import numpy as np

_RUN = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = {
    "tensorflow_datasets", "grain", "matplotlib", "sklearn", "tensorboardX", "safetensors",
    "jaxtyping", "beartype", "diffrax", "chex", "theory", "experiments",
}
sys.meta_path.insert(0, Blocked())
from ssljax.cli.main import main
code = main(sys.argv[1:])
assert not BLOCKED & {name.split(".")[0] for name in sys.modules}
sys.exit(code)
"""


def test_training_on_arrays_needs_no_optional_package(tmp_path):
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        images=random.integers(0, 256, (64, 8, 8, 3)).astype(np.uint8),
        labels=random.integers(0, 3, 64).astype(np.int32),
        test_images=random.integers(0, 256, (32, 8, 8, 3)).astype(np.uint8),
        test_labels=random.integers(0, 3, 32).astype(np.int32),
    )
    arguments = (
        "train digits_mlp --policy noise --data arrays:images.npz --workdir run"
        " --batch-size 16 --num-steps 4 --optimizer.warmup-steps 2 --encoder.widths 16,8"
        " --head.widths 8,4 --moments.views 2 --moments.layers feature --checkpoint-every 4"
        " --log-every 2 --evaluation.layers feature"
    )
    answer = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("tensorboardX is not installed") == 1
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    assert (tmp_path / "run" / "evaluation.json").exists()
    assert (tmp_path / "run" / "moments" / "feature.npz").exists()
