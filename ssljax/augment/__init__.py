"""Augmentation: random views of images, made on the device inside the compiled step.

In reading order:

* `policies`: which random changes there are, and the named recipes. A new change starts here.
* `changes`: what a policy draws for each image, a function of the image's key.
* `augment`: one view of each image: draw, then apply.
* `geometry`: crops, flips, rotations and shifts as one resampling.
* `color`: jitter and grayscale as one affine map of the channels.
* `filters`: blur, solarization, masks.
* `views`: the groups of views of a training step, two or many, also of composites.
* `orbit`: the continuous changes as a Lie group, with exact tangents.
* `corruptions`: the corruptions of CIFAR-10-C, for shifted test sets.
"""
