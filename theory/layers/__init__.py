"""Layers of a linear network: what each keeps, how they share it, and their balance.

In reading order:

* `grams`: layer Grams, weight spectra and layer spectra of a balanced network; weight of a feature.
* `chain`: the same of a network given by its layers, balanced or not, and how far from balance.
* `ledger`: exact account of that balance under SGD with weight decay.
* `depth_share`: how encoder and projector share invariance, by their depths.
* `reweighting`: the fixed diagonal head in place of a trained one.
"""
