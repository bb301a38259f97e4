"""What is no claim: the commands, the registry of experiments, and tools on one's own runs.

* `parser`: every command and its options.
* `command_line`: runs the commands.
* `registry`: all experiments by name.
* `commands`: run experiments and show their pages.
* `judging`: judge the tables of a folder.
* `listing`: the rows and curves that a network has to be measured for.
* `quickstart`: predict, train, measure and compare on handwritten digits.
* `comparison`: whether theory explains a linear head.
* `phase`: a map of which layer serves a task, with simulations.
* `spectra`: layer spectra that a run measured, drawn.
* `train`: `ssljax train` with `observers` of theory's quantities.
"""
