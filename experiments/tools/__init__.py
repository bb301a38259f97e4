"""What is no claim: the registry of experiments, the commands, and tools on one's own runs.

* `registry`: all experiments by name.
* `listing`: the rows and curves that a network has to be measured for.
* `judging`: judge the tables of a folder.
* `commands`: run and show experiments.
* `command_line`: their options.
* `table_commands`: the commands that need tables only.
"""
