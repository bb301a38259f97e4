"""The networks the claims are tested on: one table, so that `all` trains each once.

A training is a configuration and a data set. Experiments name the trainings they read; two that
name the same one share its runs (`experiments.trained`).
"""

import dataclasses
from typing import NamedTuple

from experiments.sizes import Size
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import (
    Config,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
)

STRENGTHS = (0.1, 0.25, 0.5, 1.0, 1.25)
STRENGTH = 0.5
KAPPAS = (1.05, 1.2, 1.5)
DECAYS = (0.02, 0.05, 0.1)
DIGIT_STRENGTHS = (0.2, 0.5, 1.0)
DIGIT_DROPS = (0.0, 0.5, 0.9)


class Training(NamedTuple):
    """One line of the table.

    Attributes:
      config: What is trained, with seed 0.
      data: Name of the images, for `images_of`.
      claims: The claims that read it.
    """

    config: Config
    data: str
    claims: tuple[int, ...]


def trainings(size: Size) -> dict[str, Training]:
    """Every training of a scale, by name.

    Args:
      size: One of `SIZES`.

    Returns:
      At most 35 of them.
    """
    return {
        **_strengths(size),
        **_heads(size),
        **_linear_heads(size),
        **_composites(size),
        **_classes(size),
    }


def seeded(training: Training, seed: int) -> Config:
    """The configuration of a training with another seed."""
    return dataclasses.replace(training.config, seed=seed)


def _config(size: Size, head: HeadConfig, loss: LossConfig, optimizer: OptimizerConfig) -> Config:
    return Config(
        policy=SIMCLR_POLICY,
        strength=STRENGTH,
        encoder=size.encoder,
        head=head,
        loss=loss,
        optimizer=optimizer,
        batch_size=size.batch_size,
        num_steps=size.num_steps,
        checkpoint_every=max(size.num_steps // 4, 1),
        log_every=max(size.num_steps // 100, 1),
        evaluation=EvaluationConfig(layers=()),
        devices=1,
        precision=size.precision,  # pyright: ignore[reportArgumentType]
    )


def _feature_width(size: Size) -> int:
    encoder = size.encoder
    if encoder.kind == "mlp":
        return encoder.widths[-1]
    stages = 4 if encoder.depth else len(encoder.stage_sizes)
    return encoder.width * 2 ** (stages - 1)


def _mlp_head(size: Size, *hidden: int) -> HeadConfig:
    width = _feature_width(size)
    return HeadConfig(kind="mlp", widths=(*(hidden or (width,)), width // 2))


def _adam(size: Size) -> OptimizerConfig:
    return OptimizerConfig(
        name="adamw",
        learning_rate=2e-3,
        warmup_steps=size.num_steps // 20,
        weight_decay=1e-4,
        head_weight_decay=1e-4,
    )


def _descent(size: Size, decay: float) -> OptimizerConfig:
    """Plain momentum descent with coupled decay: what the theory of linear heads is about."""
    return OptimizerConfig(
        learning_rate=0.01,
        warmup_steps=size.num_steps // 20,
        weight_decay=1e-3,
        head_weight_decay=decay,
    )


NT_XENT = LossConfig(name="nt_xent", temperature=0.5)


def _strengths(size: Size) -> dict[str, Training]:
    base = _config(size, _mlp_head(size), NT_XENT, _adam(size))
    shared = {STRENGTH: (7, 8, 13, 15, 16, 17, 18, 20)}
    table = {
        f"strength-{strength:g}": Training(
            dataclasses.replace(base, strength=strength),
            "cifar10",
            (9, 10, 11, 12, 19, *shared.get(strength, ())),
        )
        for strength in STRENGTHS
    }
    return table | {"strength-cifar100": Training(base, "cifar100", (9,))}


def _heads(size: Size) -> dict[str, Training]:
    width = _feature_width(size)
    heads = {
        "none": (HeadConfig(kind="none"), (7, 8, 13)),
        "linear": (HeadConfig(kind="linear", widths=(width // 2,)), (13,)),
        "narrow": (_mlp_head(size, width // 8), (13,)),
        "wide": (_mlp_head(size, 4 * width), (13,)),
        "deep": (_mlp_head(size, width, width, width), (13,)),
        **{
            f"kappa-{kappa:g}": (HeadConfig(kind="reweight", kappa=kappa), (8,)) for kappa in KAPPAS
        },
    }
    return {
        f"head-{name}": Training(_config(size, head, NT_XENT, _adam(size)), "cifar10", claims)
        for name, (head, claims) in heads.items()
    }


def _linear_heads(size: Size) -> dict[str, Training]:
    """Linear heads of depth two on a centered feature, where theory predicts the head.

    They train longer, as decay needs time to act, and their checkpoints are many, so that the head
    can be followed through training.
    """
    size = dataclasses.replace(size, num_steps=size.linear_steps)
    width = _feature_width(size)
    encoder = dataclasses.replace(size.encoder, feature_centering=True, feature_scale=0.25)
    linear = HeadConfig(kind="linear", widths=(width, width // 2))

    def config(loss: LossConfig, optimizer: OptimizerConfig) -> Config:
        return dataclasses.replace(
            _config(size, linear, loss, optimizer),
            encoder=encoder,
            checkpoint_every=max(size.num_steps // 10, 1),
            keep_checkpoints=10,
        )

    spectral = LossConfig(name="spectral")
    middle, largest = DECAYS[len(DECAYS) // 2], DECAYS[-1]
    claims = {middle: (2, 15), largest: (2, 18)}
    table = {
        **{
            f"decay-{decay:g}": Training(
                config(spectral, _descent(size, decay)), "cifar10", claims.get(decay, (2,))
            )
            for decay in DECAYS
        },
        "decay-0": Training(config(spectral, _descent(size, 0.0)), "cifar10", (2,)),
        # Under the largest decay, the one that has time to balance a spectral head.
        "linear-cosine": Training(config(NT_XENT, _descent(size, largest)), "cifar10", (18,)),
    }
    return table | _ledgers(size, table)


def _ledgers(size: Size, table: dict[str, Training]) -> dict[str, Training]:
    """The same heads under plain descent, where an exact account exists; and where none does.

    Small batches, which the account does not feel, cost less and have more gradient noise.
    """
    base = table["decay-0.05"].config
    noisy = table["linear-cosine"].config

    def config(base: Config, steps: int, optimizer: OptimizerConfig) -> Config:
        return dataclasses.replace(
            base,
            batch_size=size.batch_size // 4,
            num_steps=steps,
            checkpoint_every=steps,
            log_every=1,
            optimizer=optimizer,
        )

    long, short = size.ledger_steps, max(size.ledger_steps * 3 // 10, 1)
    plain = dataclasses.replace(
        base.optimizer, momentum=0.0, learning_rate=0.02, final_fraction=1.0
    )
    # A constant and large step, so that the head arrives where gradient noise and decay are even.
    loud = dataclasses.replace(plain, learning_rate=0.5, weight_decay=1e-4, head_weight_decay=0.02)
    adam = dataclasses.replace(
        _adam(size),
        warmup_steps=short // 20,
        head_weight_decay=base.optimizer.head_weight_decay,
    )
    heavy = dataclasses.replace(base.optimizer, warmup_steps=short // 20)
    return {
        "ledger": Training(config(base, long, plain), "cifar10", (14,)),
        "ledger-cosine": Training(config(noisy, long, loud), "cifar10", (14, 18)),
        "ledger-momentum": Training(config(base, short, heavy), "cifar10", (14,)),
        "ledger-adam": Training(config(base, short, adam), "cifar10", (14,)),
    }


def _composites(size: Size) -> dict[str, Training]:
    """Digits weaker or dropped, one at a time; no crop, which would cut digits off as well."""
    base = dataclasses.replace(
        _config(size, _mlp_head(size), NT_XENT, _adam(size)),
        policy=dataclasses.replace(SIMCLR_POLICY, crop_area=0.0, crop_log_aspect=0.0),
        strength=1.0,
    )
    cells = {(1.0, drop) for drop in DIGIT_DROPS} | {(s, 0.0) for s in DIGIT_STRENGTHS}
    drops = {f"{strength:g}-{drop:g}": (strength, (drop, drop)) for strength, drop in sorted(cells)}
    # One view of each pair never shows its digit: pairs share nothing of it.
    drops["1-split"] = (1.0, (1.0, 0.0))
    return {
        f"digits-{name}": Training(
            dataclasses.replace(base, digit_strength=strength, digit_drop=drop),
            "mnist_on_cifar",
            (3, 4),
        )
        for name, (strength, drop) in drops.items()
    }


def _classes(size: Size) -> dict[str, Training]:
    contrast = LossConfig(name="supervised_contrastive", temperature=0.5)
    entropy = LossConfig(name="cross_entropy")
    no_head = HeadConfig(kind="none")
    # As wide as the feature, so that a smaller dimension explains nothing of what the head loses.
    width = _feature_width(size)
    head = HeadConfig(kind="mlp", widths=(width, width))

    def config(head: HeadConfig, loss: LossConfig, classes: int = 0) -> Config:
        head = dataclasses.replace(head, classes=classes)
        return _config(size, head, loss, _adam(size))

    def groups(head: HeadConfig, loss: LossConfig, classes: int = 0) -> Config:
        # Crops keep at least 0.7 of the area, as in the recipe published for Waterbirds: stronger
        # ones would cut the small shortcut away.
        return dataclasses.replace(config(head, loss, classes), strength=0.33)

    return {
        "coarse-contrastive": Training(config(head, contrast), "cifar100_coarse", (5,)),
        "coarse-entropy": Training(config(head, entropy, 20), "cifar100_coarse", (5,)),
        "coarse-reweighted": Training(
            config(HeadConfig(kind="reweight", kappa=1.5), contrast), "cifar100_coarse", (5, 8)
        ),
        "groups-none": Training(groups(no_head, entropy, 2), "two_shortcuts", (6,)),
        "groups-entropy": Training(groups(head, entropy, 2), "two_shortcuts", (6,)),
        "groups-contrastive": Training(groups(head, contrast), "two_shortcuts", (6,)),
    }
