"""Claims of Cosentino et al. 2022 on the geometry of self-supervised contrastive learning.

* `transfer`: the head's output generalizes more poorly than the encoder's (claim 9).
* `strength`: what stronger augmentation does to projector and encoder (claims 10, 11).
* `tangents`: which directions the projector keeps (claim 12).
* `heads`: what width and depth of the head do to the encoder (claim 13).
"""
