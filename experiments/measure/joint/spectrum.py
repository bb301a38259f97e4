"""The spectrum of a head that trained with its encoder, beside what its last moments predict.

Theory is that of a head which decay has settled on fixed features: here neither is the case.
"""

from collections.abc import Iterator

import jax

from experiments.core.measurements import Measurement
from experiments.measure.heads.spectra import (
    make_axes,
    output_of,
    predict_grams,
    read_along,
    spectrum_error,
)
from experiments.measure.joint.drives import average_end, read_features
from experiments.measure.rows import exact_row
from experiments.measure.subject import Subject


def measure_spectrum(subject: Subject) -> Iterator[Measurement]:
    """Yield the error of the sizes of modes, by theory and by rivals.

    Args:
      subject: Trained with the observer `features`.
    """
    weights = subject.variants["trained"].head_weights()
    with jax.enable_x64(True):
        moments = average_end(read_features(subject))
        axes = make_axes(moments)
        measured = output_of(weights, axes)
        rank, decay = min(map(len, weights)), subject.training.head_weight_decay
        grams = predict_grams(moments, len(weights), decay, rank)
        for variant, gram in grams.items():
            error = spectrum_error((read_along(gram, measured, axes),), axes.least)
            key = subject.key("spectrum_error", variant, depth=len(weights))
            yield exact_row(key, error)
