import dataclasses
import functools
import json

import pytest

from ssljax.augment.policies import NOISE_POLICY
from ssljax.config.config import (
    NAMED_POLICIES,
    Config,
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
)
from ssljax.config.overrides import (
    OneLineParser,
    add_settings,
    config_dict,
    config_from_dict,
    differences,
    overridden,
    settings,
)
from ssljax.config.presets import PRESETS, preset
from ssljax.system.errors import UsageError
from ssljax.training.build import build_network, build_objective, steps_per_call


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = preset(name)
    assert config_from_dict(Config(), json.loads(json.dumps(config_dict(config)))) == config


_SHAPES = {"digits": (8, 8, 1), "imagenet2012": (224, 224, 3)}


@functools.cache
def _layers(encoder, head, loss, shape):
    return build_network(Config(encoder=encoder, head=head, loss=loss), shape).layers


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_its_network_and_says_what_it_is(name):
    config, entry = preset(name), PRESETS[name]
    shape = _SHAPES.get(config.data, (32, 32, 3))
    layers = _layers(config.encoder, config.head, LossConfig(name=config.loss.name), shape)
    assert {*config.moments.layers, *config.evaluation.layers} <= set(layers)
    build_objective(config)
    assert entry.name == name
    assert entry.command.startswith(f"python -m ssljax train {name}")
    assert entry.cost
    assert bool(entry.expected) == bool(entry.source)
    assert entry.summary.endswith(".")


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: EncoderConfig(width=0), "encoder.width"),
        (lambda: EncoderConfig(kind="linear", feature_centering=True), "encoder.feature-centering"),
        (lambda: EncoderConfig(kind="mlp", widths=()), "encoder.widths"),
        (lambda: HeadConfig(widths=(3, -1)), "head.widths"),
        (lambda: LossConfig(temperature=float("nan")), "loss.temperature"),
        (lambda: OptimizerConfig(momentum=1.0), "optimizer.momentum"),
        (lambda: OptimizerConfig(final_fraction=1.5), "optimizer.final-fraction"),
        (lambda: Config(batch_size=1), "batch-size"),
        (lambda: Config(num_steps=0), "num-steps"),
        (lambda: Config(strength=-1.0), "strength"),
        (lambda: Config(seed=-1), "seed"),
        (
            lambda: Config(num_steps=5, optimizer=OptimizerConfig(warmup_steps=5)),
            "optimizer.warmup-steps",
        ),
    ],
)
def test_an_impossible_value_is_refused_by_the_name_of_its_option(make, flag):
    with pytest.raises(UsageError) as error:
        make()
    assert str(error.value).startswith(flag)
    assert "got" in str(error.value)
    assert f"--{flag}" in str(error.value)
    assert "\n" not in str(error.value)


def _parsed(*arguments: str) -> Config:
    parser = OneLineParser(prog="test")
    variants = {"policy": NAMED_POLICIES}
    add_settings(parser, Config(), variants)
    return overridden(Config(), vars(parser.parse_args(arguments)), variants)


def test_every_leaf_of_the_configuration_is_an_option_read_back_as_written():
    config = preset("digits_linear")
    arguments = []
    for setting in settings(config):
        value = setting.value
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        elif isinstance(value, bool):
            value = str(value).lower()
        arguments.append(f"{setting.flag}={value}")
    assert _parsed(*arguments) == config


def test_a_named_policy_is_taken_whole_and_then_changed_field_by_field():
    config = _parsed("--policy.shift", "0.1", "--policy", "noise")
    assert config.policy == dataclasses.replace(NOISE_POLICY, shift=0.1)


def test_fields_that_depend_on_each_other_are_checked_after_all_are_replaced():
    config = _parsed("--num-steps", "10", "--optimizer.warmup-steps", "9")
    assert config.optimizer.warmup_steps == 9
    with pytest.raises(UsageError, match=r"warmup-steps must be below the 10 steps"):
        _parsed("--num-steps", "10", "--optimizer.warmup-steps", "10")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--optimizer.lerning-rate=1", "did you mean --optimizer.learning-rate"),
        ("--num-steps=many", "wanted an integer, got 'many'"),
        ("--encoder.widths=3,x", "wanted an integer, got 'x'"),
        ("--encoder.zero-residual=maybe", "wanted true or false, got 'maybe'"),
        ("--loss.name=triplet", "invalid choice: 'triplet'"),
        ("--num-step=3", "did you mean --num-steps"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_was_wanted(argument, message):
    with pytest.raises(UsageError) as error:
        _parsed(argument)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_field_in_a_saved_configuration_names_the_nearest():
    values = config_dict(Config())
    values["optimizer"]["momentun"] = 0.9
    with pytest.raises(UsageError, match=r"optimizer\.momentun; did you mean optimizer\.momentum"):
        config_from_dict(Config(), values)


def test_differences_name_the_leaves():
    changed = overridden(Config(), {"optimizer.momentum": 0.5, "seed": 3})
    assert differences(Config(), changed) == ("optimizer.momentum", "seed")


def test_convolutions_are_not_looped_over_on_cpu_and_other_calls_divide_the_run():
    assert steps_per_call(preset("digits_resnet")) == 1
    linear = preset("digits_linear")
    assert steps_per_call(linear) == 100
    assert steps_per_call(dataclasses.replace(linear, num_steps=350)) == 70
    assert steps_per_call(dataclasses.replace(linear, num_steps=7)) == 7
    assert steps_per_call(dataclasses.replace(linear, num_steps=997)) == 100


def test_a_preset_that_does_not_exist_names_those_it_resembles():
    with pytest.raises(UsageError, match="did you mean digits_smoke"):
        preset("digit_smoke")
