"""Deep linear networks, trained on the second moments of augmented images.

* `descent`: balanced starts, gradient descent and Adam on the population loss.
* `pixels`: moments of augmented pixels, and clean images in the same coordinates.
* `reweighting`: one linear layer under a fixed reweighting head.
* `chain`: what is measured on four layers, the entry of the training `linear-chain`.
"""
