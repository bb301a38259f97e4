"""`python -m experiments compare`: does theory explain a linear head?

* `sources`: heads and features, of runs of ssljax and of files from any framework.
* `heads`: predicts a head from the moments of its features, and settles it.
* `answer`: says in sentences whether theory explains the heads, and why not.
* `run`: compares, writes `results.json`, figures and the page.
"""
