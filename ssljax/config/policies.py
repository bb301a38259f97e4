"""Augmentation policies: which random changes of an image count as the same image.

A policy is plain data. Each field is the range of one random change at strength 1; one scalar,
the strength, scales them all, so a whole family of policies is one axis of an experiment.
"""

import dataclasses
from typing import Literal, get_args

from ssljax.system.errors import UsageError

Interpolation = Literal["bilinear", "cubic"]


@dataclasses.dataclass(frozen=True)
class Policy:
    """Ranges at strength 1; a change whose range is 0 is off and costs nothing.

    With strength s and u drawn uniformly from [-1, 1], independently per view and per change,
    the changes are, in this order:

    Geometry, one resampling (see :mod:`ssljax.augment.resample`). All but the crop read zero
    outside the image; the crop never reads outside its own rectangle.

    Attributes:
        rotation: angle ``rotation * s * u`` in radians.
        shift: translation ``shift * s * u`` of each axis, a fraction of that image side.
        log_scale: the region read is ``exp(log_scale * s * u)`` times the image side.
        log_aspect: its width is multiplied, its height divided, by ``exp(log_aspect*s*u/2)``.
        crop_area: a random crop keeps a fraction of the area uniform in
            ``[max(1 - crop_area * s, SMALLEST_CROP), 1]``, at a uniform position.
        crop_log_aspect: log of the crop's width over height, ``crop_log_aspect * s * u``; a side
            longer than the image is cut to the image.
        flip: probability of a left-right flip; the strength scales it only on its way to zero
            (strength 0 is the identity, any other strength flips with this probability).
        jitter_brightness: color jitter, the image times ``f = 1 + jitter_brightness * s * u``.
        jitter_contrast: blend ``f x + (1 - f) * (mean gray of the image)``.
        jitter_saturation: blend ``f x + (1 - f) * (gray of the pixel)``.
        jitter_hue: rotation by ``2 pi * jitter_hue * s * u`` about the gray axis.
        jitter_probability: probability that the four are applied, not scaled by the strength;
            their order is random for each view.
        grayscale: probability, times s (at most 1), of replacing color by gray.
        log_contrast: the image times ``exp(log_contrast * s * u)``.
        brightness: plus ``brightness * s * u``.
        cast: plus ``cast * s * u`` in each channel, independently (at most three channels).
        blur_variance: Gaussian blur whose standard deviation is uniform from 0 to
            ``s * sqrt(blur_variance)`` pixels.
        blur_probability: probability of the blur, not scaled by the strength.
        solarize: probability, times s (at most 1), that values of 1/2 or more become 1 minus
            themselves.
        mask: a square of this fraction (times s, at most 1) of each side, uniformly placed, is
            set to 0.
        pixel_drop: probability, times s (at most 1), that a pixel is set to 0, independently.
        patch_drop: probability, times s (at most 1), that a patch is set to 0, independently.
        patch_side: side of these patches, a fraction of the image's; they tile the image from
            its upper left corner.
        noise: plus Gaussian noise of standard deviation ``noise * s``, independent per pixel
            and channel.
        interpolation: of the resampling, "bilinear" or "cubic" (a spline with exact derivatives).
    """

    rotation: float = 0.0
    shift: float = 0.0
    log_scale: float = 0.0
    log_aspect: float = 0.0
    crop_area: float = 0.0
    crop_log_aspect: float = 0.0
    flip: float = 0.0
    jitter_brightness: float = 0.0
    jitter_contrast: float = 0.0
    jitter_saturation: float = 0.0
    jitter_hue: float = 0.0
    jitter_probability: float = 1.0
    grayscale: float = 0.0
    log_contrast: float = 0.0
    brightness: float = 0.0
    cast: float = 0.0
    blur_variance: float = 0.0
    blur_probability: float = 1.0
    solarize: float = 0.0
    mask: float = 0.0
    pixel_drop: float = 0.0
    patch_drop: float = 0.0
    patch_side: float = 0.25
    noise: float = 0.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self):
        if self.interpolation not in get_args(Interpolation):
            raise UsageError(
                f"policy field interpolation is {self.interpolation!r}; wanted 'bilinear' or "
                "'cubic'"
            )
        for field in dataclasses.fields(self):
            if field.name == "interpolation":
                continue
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise UsageError(
                    f"policy field {field.name} is {value}; it is a range at strength 1 and must "
                    "be finite and at least 0: pass 0 to switch it off"
                )
        for name in (
            "flip",
            "jitter_probability",
            "grayscale",
            "blur_probability",
            "solarize",
            "mask",
            "pixel_drop",
            "patch_drop",
            "patch_side",
        ):
            if getattr(self, name) > 1:
                raise UsageError(
                    f"policy field {name} is {getattr(self, name)}; it is a probability or a "
                    "fraction: pass a number from 0 to 1"
                )
        if self.patch_side == 0:
            raise UsageError("policy field patch_side is 0; it is a fraction of the image's side")


SMALLEST_CROP = 0.04
"""No crop keeps less of the area, however large the strength."""

IDENTITY = Policy()
"""Changes nothing."""

NOISE_POLICY = Policy(noise=0.25)
"""Gaussian pixel noise only: the within-orbit covariance is a multiple of the identity."""

DIGITS_POLICY = Policy(
    rotation=0.6,
    shift=1.5 / 8,
    log_scale=0.25,
    log_contrast=0.5,
    brightness=0.2,
    noise=0.25,
)
"""For handwritten digits. The noise makes the covariance of constant pixels full rank."""

SIMCLR_POLICY = Policy(
    crop_area=0.92,
    crop_log_aspect=0.29,
    flip=0.5,
    jitter_brightness=0.4,
    jitter_contrast=0.4,
    jitter_saturation=0.4,
    jitter_hue=0.2,
    jitter_probability=0.8,
    grayscale=0.2,
)
"""The recipe of SimCLR for 32x32 images at strength 1: random resized crop of area 0.08 to 1 and
aspect 3/4 to 4/3, flip, color jitter, grayscale; no blur.

Hue is a rotation about the gray axis, an exact one-parameter group, where torchvision shifts the
hue of HSV; nothing is clipped to the pixel range.
"""
