"""Part C: what stronger augmentation does to feature and embedding of a nonlinear head."""

from experiments.core.progress import Advance
from experiments.quickstart.scales import Scale, sweep_config
from experiments.strength_cells import SweepOutcome, gathered_sweep, strength_cell
from ssljax.data.datasets import load_dataset
from ssljax.training.training import make_training

PARAMETERS = ("rotation", "shift_x", "brightness")


def strength_sweep(scale: Scale, advance: Advance) -> SweepOutcome:
    """Train at each strength and seed, and measure on the test images.

    Args:
      scale: How large.
      advance: Told after each training.

    Returns:
      Everything the report shows of part C.
    """
    config = sweep_config(scale)
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    training = make_training(config, train)
    rows = []
    for seed in scale.seeds:
        cells = []
        for strength in scale.strengths:
            state, _ = training.run(training.init(seed), strength, config.num_steps)
            cells.append(
                strength_cell(
                    training.network,
                    state,
                    config,
                    train,
                    test,
                    strength=strength,
                    views=scale.sweep_views,
                    seed=seed,
                    parameters=PARAMETERS,
                )
            )
            advance(f"C  strength sweep, seed {seed}, strength {strength:g}", 1.0)
        rows.append(cells)
    return gathered_sweep(scale.strengths, rows)
