"""What all experiments share: the table of measurements, contrasts, verdicts, the runner.

In reading order:

* `names`: the words that rows may use: layers, variants, tasks, quantities, levels.
* `blocks`: sampling information of a number, as text.
* `measurements`: the table that measuring writes and judging reads.
* `values`: arithmetic on rows of the table, as it would be written in a paper.
* `intervals`: intervals over seeds and test images, and what they decide.
* `contrasts`: one question to the table, and its answer.
* `gates`: the gate that most claims share.
* `panels`: records of figures: what they show of the table.
* `experiment`: claims, contrasts and panels of one experiment.
* `verdicts`: the word of each claim, and `verdicts.json`.
* `provenance`: the checkout, the versions, the rules at the time of a run.
* `progress`: one bar for a long job.
* `runner`: trains and measures what a folder lacks.
"""
