import dataclasses
import functools
import json
import re
from typing import Literal, NamedTuple

import pytest

from ssljax.config.config import (
    Config,
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
    change_config,
)
from ssljax.config.fields import (
    config_dict,
    config_from_dict,
    differences,
    format_value,
    list_leaves,
    read_value,
)
from ssljax.config.presets import PRESETS, find_preset
from ssljax.system.errors import UsageError
from ssljax.system.settings import POSITIVE, Settings, Wanted, merge_settings, setting
from ssljax.training.build import build_network, build_objective, steps_per_call


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = find_preset(name)
    assert config_from_dict(Config(), json.loads(json.dumps(config_dict(config)))) == config


_SHAPES = {"digits": (8, 8, 1), "imagenet2012": (224, 224, 3)}


@functools.cache
def _layers(encoder, head, loss, shape):
    return build_network(Config(encoder=encoder, head=head, loss=loss), shape).layers


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_its_network_and_says_what_it_is(name):
    config, entry = find_preset(name), PRESETS[name]
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


def test_every_leaf_is_read_back_as_it_is_written():
    for name in PRESETS:
        for leaf in list_leaves(find_preset(name)):
            assert read_value(leaf.annotation, format_value(leaf.value)) == leaf.value, leaf


def test_every_field_of_a_configuration_has_help():
    def check(config):
        for entry in dataclasses.fields(config):
            value = getattr(config, entry.name)
            if dataclasses.is_dataclass(value):
                check(value)
            else:
                assert entry.metadata.get("help"), f"{type(config).__name__}.{entry.name}"

    check(Config())


def test_a_short_run_shortens_its_warm_up_in_proportion():
    config = Config(num_steps=400, optimizer=OptimizerConfig(warmup_steps=40))
    assert change_config(config, {"num_steps": 20}).optimizer.warmup_steps == 2
    assert change_config(config, {"num_steps": 200}).optimizer.warmup_steps == 40


def test_fields_that_depend_on_each_other_are_checked_after_all_are_replaced():
    config = change_config(Config(), {"num_steps": 10, "optimizer.warmup_steps": 9})
    assert config.optimizer.warmup_steps == 9
    with pytest.raises(UsageError, match=r"warmup-steps must be below the 10 steps"):
        change_config(Config(), {"num_steps": 10, "optimizer.warmup_steps": 10})


def test_a_shorter_run_keeps_its_warmup_while_it_fits_and_then_shortens_it_in_proportion():
    smoke = find_preset("digits_smoke")
    assert (smoke.num_steps, smoke.optimizer.warmup_steps) == (120, 20)
    assert change_config(smoke, {"num_steps": 21}).optimizer.warmup_steps == 20
    assert change_config(smoke, {"num_steps": 18}).optimizer.warmup_steps == 3
    assert change_config(smoke, {"num_steps": 1}).optimizer.warmup_steps == 0
    with pytest.raises(UsageError, match="num-steps must be positive"):
        change_config(smoke, {"num_steps": 0})


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "many", "wanted an integer, got 'many'"),
        (tuple[int, ...], "3,x", "wanted an integer, got 'x'"),
        (float | None, "strong", "wanted a number, got 'strong'"),
        (bool, "maybe", "wanted true or false, got 'maybe'"),
        (Literal["a", "b"], "c", "invalid choice: 'c'; wanted one of a, b"),
    ],
)
def test_a_value_that_cannot_be_read_says_what_was_wanted(annotation, text, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        read_value(annotation, text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Narrow(Settings):
    width: int = setting(8, "width of the narrow one", POSITIVE)
    depth: int = setting(2, "depth", exclusive=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wide(Settings):
    width: int = setting(8, "width of the wide one", Wanted("above 4", lambda width: width > 4))


class _Kind(NamedTuple):
    settings: type[Settings]


def _merged(**kinds):
    table = {name: _Kind(settings) for name, settings in kinds.items()}
    return merge_settings(table, "part", "kind", "narrow", "which one")


def test_settings_of_a_table_stand_side_by_side_and_each_entry_has_its_own_bounds():
    part = _merged(narrow=_Narrow, wide=_Wide)
    assert part(width=3).selected() == _Narrow(width=3)
    assert part(kind="wide").selected() == _Wide()
    with pytest.raises(UsageError, match=r"part\.width must be above 4, got 3"):
        part(kind="wide", width=3)
    with pytest.raises(UsageError, match=r"part\.depth must be 2 for the part wide, got 3"):
        part(kind="wide", depth=3)
    with pytest.raises(UsageError, match=r"part\.kind must be one of narrow, wide, got 'flat'"):
        part(kind="flat")
    helps = {entry.name: entry.metadata["help"] for entry in dataclasses.fields(part)}
    assert helps["width"] == "narrow: width of the narrow one; wide: width of the wide one"


def test_two_entries_that_disagree_about_a_field_are_refused_at_once():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Other(Settings):
        width: int = setting(9, "another default")

    with pytest.raises(TypeError, match=r"wide and narrow declare part\.width"):
        _merged(narrow=_Narrow, wide=Other)


def test_an_unknown_field_in_a_saved_configuration_names_the_nearest():
    values = config_dict(Config())
    values["optimizer"]["momentun"] = 0.9
    with pytest.raises(UsageError, match=r"optimizer\.momentun; did you mean optimizer\.momentum"):
        config_from_dict(Config(), values)


def test_differences_name_the_leaves():
    changed = change_config(Config(), {"optimizer.momentum": 0.5, "seed": 3})
    assert differences(Config(), changed) == ("optimizer.momentum", "seed")


def test_convolutions_are_not_looped_over_on_cpu_and_other_calls_divide_the_run():
    assert steps_per_call(find_preset("digits_resnet")) == 1
    linear = find_preset("digits_linear")
    assert steps_per_call(linear) == 100
    assert steps_per_call(dataclasses.replace(linear, num_steps=350)) == 70
    assert steps_per_call(dataclasses.replace(linear, num_steps=7)) == 7
    assert steps_per_call(dataclasses.replace(linear, num_steps=997)) == 100


def test_a_preset_that_does_not_exist_names_those_it_resembles():
    with pytest.raises(UsageError, match="did you mean digits_smoke"):
        find_preset("digit_smoke")
