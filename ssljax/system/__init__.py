"""What lies between the package and the machine it runs on.

* `settings`: fields that check themselves and explain themselves in ``--help``.
* `errors`, `arrays`, `files`: one exception, array types, files that are never half-written.
* `distributed`: many processes of one run; `launch`: several of them on this machine.
* `interruption`: SIGTERM, and a run that stands still.
* `progress`: bars and lines; `profiler`: a trace of some steps.
* `environment`: what a number was measured in; `cpu`: tuning for training on a CPU.
"""
