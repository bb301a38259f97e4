"""Encoders and heads, declared with Flax NNX and used as pure functions.

In reading order:

* `network`: the one adapter from modules to ``init`` and ``apply``; layers by name
* `table`: the tables of encoders and heads, and the network of a configuration
* `resnet`, `vit`, `mlp`, `linear`, `diagonal`: encoders, each beside its settings
* `head`: no head, linear, perceptron, fixed reweighting
* `structured_head`: a bottleneck on the sphere, orthonormal weights, whitening
* `normalization`: batch, group and no normalization, centering of the feature
* `initialization`: how kernels start, from noise or from a file
* `input_normalization`: the mean image and factor before the first layer
* `convolution`: convolutions in the form that XLA's CPU backend runs fastest
"""
