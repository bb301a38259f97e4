"""What all experiments share: the table of measurements, contrasts, verdicts, the runner, pages.

In reading order:

* `names`: the words that rows may use: layers, variants, tasks, quantities, levels.
* `blocks`: sampling information of a number, as text.
* `measurements`: the table that measuring writes and judging reads.
* `values`: arithmetic on rows of the table, as it would be written in a paper.
* `intervals`: intervals over seeds and test images, and what they decide.
* `contrasts`: one question to the table, and its answer.
* `experiment`: claims, contrasts and panels of one experiment.
* `verdicts`: the word of each claim, and `verdicts.json`.
* `panels`: what figures show of the table, and their captions.
* `runner`: trains and measures what is missing, then judges, draws and writes.
* `pages`, `claim_page`, `readme`: the index, a page for each claim, the table of the README.
"""
