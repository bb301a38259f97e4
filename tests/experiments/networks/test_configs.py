"""The table of trainings becomes configurations."""

import pytest

from experiments.networks.configs import make_config
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from ssljax.augment.policies import SIMCLR_POLICY

ENCODERS = [name for name, training in TRAININGS.items() if training.kind == "encoder"]


def _laptop(name, seed=0):
    return make_config(TRAININGS[name], SIZES["laptop"], seed)


@pytest.mark.parametrize("tier", SIZES)
def test_every_network_of_every_tier_can_be_configured(tier):
    for name in ENCODERS:
        config = make_config(TRAININGS[name], SIZES[tier], 90)
        assert config.seed == 90
        assert config.optimizer.warmup_steps < config.num_steps


def test_heads_are_as_wide_as_the_feature_times_their_shares():
    widths = {name: _laptop(name).head.widths for name in ("base", "narrow", "wide", "deep")}
    assert widths == {
        "base": (64, 64),
        "narrow": (8, 64),
        "wide": (256, 64),
        "deep": (64, 64, 64, 64),
    }
    wider = make_config(TRAININGS["driven-gn"], SIZES["paper"], 0)
    assert wider.head.widths == (512, 256)
    assert (_laptop("none").head.kind, _laptop("coarse-fixed").head.kappa) == ("none", 1.5)


def test_a_tier_shortens_or_lengthens_all_trainings():
    steps = {tier: make_config(TRAININGS["digits-full"], SIZES[tier], 0) for tier in SIZES}
    numbers = {tier: (config.num_steps, config.batch_size) for tier, config in steps.items()}
    assert numbers["smoke"] == (6, 16)
    assert numbers["workstation"][0] == 5 * numbers["laptop"][0]
    assert numbers["paper"][0] == 20 * numbers["laptop"][0]


def test_what_distinguishes_a_network_is_in_its_configuration():
    assert _laptop("base").policy == SIMCLR_POLICY
    assert [_laptop(name).strength for name in ("weak", "base", "strong")] == [0.1, 0.5, 1.25]
    split = _laptop("digits-split")
    assert (split.policy.crop_area, split.policy.crop_log_aspect) == (0.46, 0.145)
    assert (split.digit_side, split.digit_drop, split.digit_redraw) == (24, (1.0, 0.5), 0.0)
    full = _laptop("digits-full")
    assert (full.policy.crop_area, full.policy.flip, full.digit_redraw) == (0.0, 0.5, 0.3)
    entropy = _laptop("coarse-entropy")
    assert (entropy.loss.name, entropy.views, entropy.head.classes) == ("cross_entropy", 1, 20)
    assert _laptop("coarse-contrastive").views == 2
    joint = _laptop("joint-spectral")
    assert (joint.encoder.feature_centering, joint.encoder.feature_scale) == (True, 0.25)
    assert (joint.optimizer.name, joint.optimizer.momentum, joint.optimizer.final_fraction) == (
        "sgd",
        0.0,
        1.0,
    )
    assert _laptop("driven-gn").encoder.norm == "group"
