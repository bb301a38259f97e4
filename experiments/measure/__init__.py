"""What is measured on a network: numbers for the table, without knowing any claim.

* `network`: `measure_network`, the entry: trains or loads a network and measures it.
* `plan`: which measurements are made on which network.
* `subject`: a network as it is measured, and the signature of every measurement.
* `diagonal`: descent on the diagonal model of a nonlinear head.
* `simulated_tasks`: few-label classification of one feature among others.
* `feature_model`: tasks on the model of features, before and after a head.
* `linear/`: deep linear networks on the moments of augmented images.
* `heads/`: linear heads on frozen features.
* `encoders/`: accuracies, geometry and planes of trained encoders.
* `joint/`: linear heads trained with their encoder, from what their steps recorded.
* `rows`: accuracies and statistics as rows, with their sampling information.
"""
