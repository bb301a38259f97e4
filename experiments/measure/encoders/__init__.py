"""What is measured on a trained encoder: parts that share one pass over each set of images.

* `passes`: the features of a network, computed once; a measure made of parts.
* `probes`: the one classifier of all tasks.
* `accuracies`: tasks at every layer, of random heads, at one scale, on some coordinates.
* `corruptions`: probes of clean images on corrupted ones.
* `groups`: groups that shortcuts mislead, the last layer retrained.
* `geometry`: invariance defect and effective rank on the unit sphere.
* `properties`: what regression reads of brightness, contrast, color and position.
* `predictions`: invariance and rank of the embedding, from the feature's moments.
* `losses`: the loss of training on held-out images.
* `planes`: what a head keeps and where data lie, as planes at each image.
* `tangents`: overlaps of these planes with each other and with the augmentation's tangent.
* `examples`: images for figures.
* `plan`: which parts are measured on which encoder.
"""
