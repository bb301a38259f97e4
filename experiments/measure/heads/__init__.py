"""Linear heads on frozen features: what is measured on the network `frozen`.

In reading order:

* `banks`: features of augmented views, some to train on, others for moments.
* `settle`: heads trained until weight decay has made them forget their start.
* `settled`: layers and spectra of settled heads, at several depths and decays.
* `layers`: the first layer of a settled head beside a power of the whole map.
* `spectra`: sizes of its modes beside those that moments and decay predict.
* `forecast`: courses of modes, forecast before a head trains.
* `balance`: imbalance of adjacent layers, left by two losses and by optimizers.
* `embedding`: invariance and rank of what a head puts out.
* `depths`: how well moments name the layer of a head to probe.
* `probes`: risk of probes with few labels over depth, predicted and measured.
* `ridge`: many ridge regressions at once, from sums over examples.
* `targets`: what probes are asked about images.
* `measure`: everything of a seed, the entry.
"""
