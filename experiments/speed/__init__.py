"""How fast, against stated peers and targets.

* `run`: every benchmark in turn, then the file, the table and the figure.
* `benchmarks`: what is timed, against what.
* `contest`: contenders in turn, each in a process of its own (`worker`).
* `task`: what a timed task is; `theory_tasks`, `loss_tasks`, `augmentation_tasks`, `training_tasks`
  and `gpu_tasks` are ours, the folder `peers` holds theirs.
* `scale`: what dividing a step costs (`scale_worker`), and its traffic (`communication`).
* `rows`: rows of `speed.json`; `environment`: where and when; `table`: the table.
"""
