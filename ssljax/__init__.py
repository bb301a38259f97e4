"""Train encoders with projection heads on devices, and measure what every layer keeps.

From Python: `ssljax.train.fit` trains in a run folder, `ssljax.train.load_run` reads one back,
`ssljax.training.make_training` trains in memory. From a shell: ``python -m ssljax --help``.
"""
