"""Predictions held against measured heads: metrics, null hypotheses, one verdict.

In reading order:

* `metrics`: distances, exponents and counts that compare matrices rather than sorted spectra.
* `nulls`: what a head would look like if the layer law meant nothing.
* `verdict`: all of them on one measured head, and which criteria hold.
* `replication`: several seeds of one head together.
"""
