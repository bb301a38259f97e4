"""What a prediction means for downstream tasks, and how to design augmentation for one.

In reading order:

* `layer_choice`: which layer serves a task better, and in which three scenarios it is the one
  before the head.
* `probe_risk`: risk of a linear probe on a layer.
* `phase_map`: which layer wins, over what augmentation does to the task's feature.
* `retention`: what a network keeps of a direction, its ranks and active modes, with slopes.
* `design`: the mixture of augmentation policies that keeps a direction best, by gradient.
"""
