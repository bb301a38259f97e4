"""Symmetric matrices with derivatives that are right everywhere, and what all rooms share.

In reading order:

* `errors`: the one exception that a user can act on.
* `checks`: checks of arguments, the same for library and command line.
* `arrays`: array types, and the check that they are float64.
* `powers`: powers of symmetric matrices with derivatives of every order.
* `spectral`: eigenpairs, singular values, and values that are differentiated in another way.
* `whitening`: eigenpairs of one symmetric matrix relative to another.
* `factors`: layer Grams from the first layer's factor.
* `newton`: minima that are followed, with implicit derivatives.
* `integration`: adaptive integration of flows.

`jax.numpy.linalg.eigh`, `eigvalsh` and `svd` are used here and nowhere else.
"""
