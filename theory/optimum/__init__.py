"""Where training ends: the optimum of every loss, with and without weight decay.

In reading order:

* `quadratic`: the minimum of a quadratic loss over Grams of bounded rank.
* `thresholds`: when weight decay switches a mode off.
* `continuation`: the minimum followed while weight decay changes.
* `decay`: the optimum under weight decay for moments that need not commute.
* `low_rank`: optimum and layer spectra without d × d Grams.
* `solve`: the optimum of a loss and every layer of the network there.
"""
