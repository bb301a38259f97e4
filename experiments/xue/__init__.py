"""Claims of Xue et al. 2024 on the benefits of the projection head.

* `weighting`: linear layers weight features more unequally, layer by layer (claim 1).
* `weight_decay`: weight decay shrinks the lead of the layer before the head (claim 2).
* `absence`: features that are absent after a nonlinear head (claim 3).
* `composites`: weak and disrupted digits on natural images (claim 4).
* `coarse`: fine classes of networks trained on coarse ones (claim 5).
* `groups`: a shift of groups (claim 6).
* `corruptions`: corrupted test images (claim 7).
* `reweighting`: a fixed head in place of a trained one (claim 8).
"""
