"""How training gets to its end: flow, descent, single modes, heads whose encoder trains too.

In reading order:

* `flow`: every layer along gradient flow, from a loss and a start.
* `courses`: learning curves of single modes, when they are learned and in which order.
* `modes`: everything that is known of each mode of given moments, in one table.
* `layer_flow`: the flow of a balanced network by one factor, and of all layers from any start.
* `descent`: gradient descent of every layer, and the largest learning rate.
* `driven`: a head whose encoder trains too, from moments along the way.
* `batch_operator`: the gradient of one batch, exactly, and what batch normalization does to it.
* `driven_nulls`: predictions that know less, against which `driven` is judged.
* `end_states`: where flow ends from layers out of balance, and in a non-linear model of a head.
* `noncontrastive`: modes of linear models without negatives.
* `mode_flow`: the flow of one mode, in closed form or integrated.
* `universal_curve`: the curve that every mode follows, and its inverse.
"""
