"""What is no claim: the registry of experiments, and tools on one's own runs.

* `registry`: all experiments by name.
"""
