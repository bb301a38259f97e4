"""Settings of measurements that records of experiments name, too."""

HEAD_DEPTHS = (2, 3)
"""Layers of the linear networks that are compared in the model of features."""

MAP_RETENTIONS = tuple(round(0.05 * step, 2) for step in range(21))
"""Share of a task's feature that augmentation keeps, over which layers are compared."""

MAP_STRENGTHS = tuple(round(0.1 * step, 1) for step in range(1, 21))
"""Strength of that feature."""

SETTLED_DECAYS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Weight decays under which heads settle on frozen features."""

MOMENT_WINDOWS = (50, 100, 200)
"""Steps over which moments are averaged, beside 20."""
