"""What is measured on a network: numbers for the table, without knowing any claim.

* `subject`: a network as it is measured, and the signature of every measurement.
* `diagonal`: descent on the diagonal model of a nonlinear head.
* `feature_model`: tasks on the model of features, before and after a head.
* `models`: the entry for trainings that need no network.
* `rows`: accuracies and statistics as rows, with their sampling information.
"""
