"""Pictures, one kind a file: arrays and a path go in, a PNG comes out. Only this room draws.

Predictions are lines, measurements are marks, rivals are gray.

* `style`: type, colors, and the frame of a figure.
* `dots`: effects over seeds beside the smallest effect that matters.
* `courses`: a quantity over levels.
* `spectra`: spectra over modes, and predictions against measurements.
* `pictures`: maps over two settings, and images of the data.
* `head`: a linear head beside its prediction.
* `phase`: which layer serves a task better.
* `measured`: layer spectra at the end of a run.
* `evolution`: layer spectra along training.
* `speed`: ours beside peers.
"""
