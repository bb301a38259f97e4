"""The networks that claims are tested on.

* `trainings`: the table: what distinguishes each network from the others.
* `settings`: settings of measurements that records name, too.
* `sizes`: how large a tier makes all of them, and how many seeds it has.
"""
