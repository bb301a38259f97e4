"""Everything that has to be seen once on an accelerator, in one command and one JSON file.

* `options`: of the command line.
* `command`: the steps in order, each in a process of its own, within the minutes given.
* `record`: the JSON file, rewritten whenever a result is there.
* `steps`: the table of steps; `worker`: one of them in its process.
* `device`: which device, driver, clocks and versions.
* `precision`: results of a device against float64 on the CPU, and the bound they have to keep.
* `device_tests`: products, losses, gradients, statistics, views, predictions, several devices.
* `timing`: how long an epoch, NT-Xent, views, moments and predictions take.
* `images`: the images of a file, or digits on scenes where nothing can be downloaded.
* `training`: one SimCLR training with k nearest neighbors along it.
* `tier`: the experiments of a tier, as far as they come.
"""
