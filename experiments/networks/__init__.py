"""The networks that claims are tested on.

* `trainings`: the table: what distinguishes each network from the others.
* `settings`: settings of measurements that records name, too.
* `sizes`: how large a tier makes all of them, and how many seeds it has.
* `images`: what networks are trained on, and what probes of a task read.
* `variant`: a network at one set of parameters, as a function of images.
"""
