"""Geometry of a representation before and after its head: invariance, ranks, subspaces.

In reading order:

* `invariance`: share of a representation's variance that is augmentation, by direction.
* `ranks`: effective ranks, each with its definition in its name.
* `subspaces`: angles between subspaces, and the energy that a projector captures.
* `relu_projector`: the affine map that a ReLU projector is around a feature.
* `water_filling`: the optimal linear projector of cosine InfoNCE.
"""
