"""Linear heads that are trained together with their encoder, from what their steps recorded.

* `ledger`: the imbalance of two layers and its account, step by step.
* `equilibrium`: the imbalance at which gradient noise and weight decay are even.
* `drives`: moments of the features along the training, as they were and as rivals have them.
* `driven`: the head that those moments predict, beside the head that was trained.
* `spectrum`: its modes, as if decay had settled it on the last moments.
"""
