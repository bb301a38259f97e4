"""The losses: what is minimized, as a function of moments.

In reading order:

* `quadratic`: losses quadratic in the Gram WᵀW, their type and value.
* `family`: spectral contrastive, VICReg, Barlow Twins and InfoNCE, made from moments.
* `supervised`: positives of one class, and a squared loss on labels.
"""
