"""Geometry of a representation before and after its head: invariance, ranks, subspaces.

In reading order:

* `invariance`: share of a representation's variance that is augmentation, by direction.
* `ranks`: effective ranks, each with its definition in its name.
* `subspaces`: how much of one lies in another.
* `water_filling`: the optimal linear projector of cosine InfoNCE.
"""
