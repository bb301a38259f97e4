"""The command line, ``python -m ssljax COMMAND``.

In reading order:

* `main`: the table of commands, and how a refusal becomes one line and an exit code
* `options`: options from the fields of a dataclass, by tyro
* `presets`: ``list``, ``show``
* `train`: ``train``
* `sweep`: ``sweep``
* `launch`: ``launch``
* `measure`: ``moments``, ``probe``, ``spectra``
* `runs`: ``runs``, ``report``, ``export``
* `tables`: columns of text
* `endings`: how a training that ends early, alone or among many processes, becomes an exit code
"""
