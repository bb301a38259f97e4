"""What is measured on a network: numbers for the table, without knowing any claim.

* `subject`: a network as it is measured, and the signature of every measurement.
* `rows`: accuracies and statistics as rows, with their sampling information.
"""
