"""The losses: what is minimized, as a function of moments.

In reading order:

* `quadratic`: losses quadratic in the Gram WᵀW, their type, value and gradient.
* `family`: spectral contrastive, VICReg, Barlow Twins and InfoNCE, made from moments.
* `gaussian_infonce`: how far the closed form of InfoNCE holds.
* `infonce_gradient`: the gradient of InfoNCE as a difference of two covariances.
* `batch_effects`: what a finite batch does to the embedding.
* `supervised`: positives of one class, and a squared loss on labels.
"""
