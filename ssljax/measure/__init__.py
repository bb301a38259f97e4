"""Measurements on networks: always in float32 at the highest precision, whatever trained them.

In reading order:

* `features`: outputs of named layers, of clean images or of augmented views
* `moments`: second moments of augmented views, streamed; their files
* `ranks`: RankMe, LiDAR and α-ReQ from moments
* `probe`: logistic, ridge and regression probes, standardization of features
* `probe_protocols`: a path of penalties with a held-out part, few-shot probes
* `sgd_probe`: the probe by descent on a cosine schedule
* `robust_probe`: accuracy of groups, last layer retrained on balanced groups
* `neighbors`: k nearest neighbors by cosine similarity
* `evaluation`: all accuracies of all layers, and how they were measured
* `measurements`: what a run writes when training ends
* `schedule`: what it measures while it trains
* `settle`: training a linear head alone on features that no longer change
"""
