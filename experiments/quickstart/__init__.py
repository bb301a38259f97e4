"""Predict, train, measure and compare on handwritten digits, in three minutes on two cores."""

from experiments.quickstart.run import run

__all__ = ["run"]
