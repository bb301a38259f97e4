"""The configuration of a run, and the presets.

In reading order:

* `config`: every number a run depends on, composed of the settings of encoder, head, loss, policy
* `optimizer_config`: optimizer, schedule, weight decay
* `measurement_config`: what is measured, when
* `fields`: the fields of a configuration listed, read from text and JSON, replaced, compared
* `presets`: named configurations
"""
