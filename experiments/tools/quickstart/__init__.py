"""`python -m experiments quickstart`: predict, train, measure and compare on handwritten digits.

* `settings`: the numbers of each tier, and the configurations.
* `linear`: part A, a linear network of three layers on pixels, predicted from the data alone.
* `head`: part B, the linear head of a small ResNet, jointly trained and settled.
* `sweep`: part C, a nonlinear head under stronger and stronger augmentation.
* `record`: the contrasts and panels that the report shows.
* `run`: measures what is missing, judges, draws, writes the page.
"""
