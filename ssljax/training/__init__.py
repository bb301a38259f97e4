"""Training in memory: one step, written once, compiled for any devices.

* `build`: from a configuration to values.
* `state`: everything that is carried from step to step.
* `step`: draw a batch, views, forward, loss, gradient, update.
* `accumulation`: the gradient of a large batch from small parts.
* `observers`: what looks at a step, online probes among it.
* `optimizer`: schedules, update rules, averages of weights.
* `parallel`: meshes, placement and compilation; the only file that knows devices.
* `feed`: batches of data that are streamed.
* `compiled`: `Training`, with `init`, `step` and `place`, and runs side by side.
* `training`: `make_training`, which puts all of this together.
"""
