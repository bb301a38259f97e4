"""Runs in folders: trained, resumed, read back, compared.

* `fit`: a run from its data to its report, and the training loop.
* `folder`: what a run folder holds besides weights, and its lock.
* `start`: weights from another run or a file.
* `checkpoint`: the state saved and restored, damage passed over; `manifest`: its seal.
* `metrics`: from the devices to ``metrics.jsonl``; `sinks`: to TensorBoard and Weights & Biases.
* `report`: the page of a run, with its curves.
* `saved_run`: a trained run read back; `export`: its network in Python, its encoder for torch.
* `sweep_plan`: the runs of a sweep; `sweep`: trained, and their table; `table`: any runs compared.
"""
