"""The networks that claims are tested on.

* `trainings`: the table: what distinguishes each network from the others.
* `settings`: settings of measurements that records name, too.
* `sizes`: how large a tier makes all of them, and how many seeds it has.
* `images`: what networks are trained on, and what probes of a task read.
* `configs`: from a line of the table to the configuration of a run.
* `cache`: trained networks on disk, each trained once.
* `trained`: a network of the table, trained or loaded, with all that measuring needs of it.
* `observers`: what is recorded inside the training step of linear heads.
* `variant`: a network at one set of parameters, as a function of images.
* `random_heads`: new draws of a head on a trained encoder.
* `views`: views of images under the augmentation of a training.
"""
