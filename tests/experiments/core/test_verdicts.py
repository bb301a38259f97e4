"""Words: effects are planted in synthetic tables, for every kind of contrast, and read back."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments.core.contrasts import Contrast, judge_contrast, rules_digest
from experiments.core.experiment import OURS, Claim, Experiment
from experiments.core.measurements import Measurement, Run, make_table
from experiments.core.values import (
    Row,
    Smallest,
    forecast,
    log,
    mean,
    points,
    share_lost,
)
from experiments.core.verdicts import expected_by_chance, judge, judge_claim, verdicts_json
from experiments.errors import InputError
from tests.experiments.core.synthetic import joined, plain_table, sampled_accuracies

FEATURE = Row("base", "accuracy", "feature", "cifar10")
EMBEDDING = Row("base", "accuracy", "embedding", "cifar10")
RANDOM = dataclasses.replace(EMBEDDING, variant="random_head")
CLAIM = Claim(7, "the feature", "The feature is better.", OURS, "", "")


def contrast(role="primary", name="lead", value=None, **settings):
    value = value or points(FEATURE) - points(EMBEDDING)
    return Contrast(claim=7, name=name, role=role, value=value, says="{} more", **settings)


def accuracies(lead, seeds=5, spread=0.003, gain=0.2, seed=0):
    levels = {
        ("feature", "trained", "cifar10"): 0.5,
        ("embedding", "trained", "cifar10"): 0.5 - lead,
        ("embedding", "random_head", "cifar10"): 0.5 - lead / 2,
        ("feature", "untrained", "cifar10"): 0.5 - gain,
    }
    return sampled_accuracies(levels, seeds, spread, np.random.default_rng(seed))


GATE = contrast(
    "gate",
    "learned",
    points(FEATURE) - points(dataclasses.replace(FEATURE, variant="untrained")),
    at_least=3.0,
)


def word(table, *contrasts):
    return judge_claim(CLAIM, "test", contrasts, table)


@pytest.mark.parametrize(
    ("lead", "expected"),
    [(0.03, "reproduced"), (0.0, "contradicted"), (-0.03, "contradicted")],
)
def test_a_difference_of_accuracies(lead, expected):
    verdict = word(accuracies(lead), contrast(), GATE)
    assert verdict.word == expected
    primary = verdict.primary
    assert primary.low < 100 * lead < primary.high
    assert verdict.gate is not None
    assert verdict.gate.status == "passed"


def test_a_small_effect_is_partly_and_a_noisy_one_open():
    assert word(accuracies(0.006, spread=0.0), contrast()).word == "partly"
    assert word(accuracies(0.006, spread=0.0), contrast()).reason == "sign only"
    assert word(accuracies(0.0, spread=0.03), contrast()).word == "open"


def test_a_shut_gate_hides_the_word_and_keeps_the_effect():
    verdict = word(accuracies(0.03, gain=0.02), contrast(), GATE)
    assert verdict.word == "not testable here"
    assert verdict.primary.effect == pytest.approx(3, abs=1)
    # A gate that the primary does not need does not stop it.
    free = word(accuracies(0.03, gain=0.02), contrast(needs=()), GATE)
    assert free.word == "reproduced"
    assert free.gate is None


def test_a_secondary_only_lowers_the_word():
    training = points(RANDOM) - points(EMBEDDING)
    table = accuracies(0.04)
    assert word(table, contrast(), contrast("secondary", "training", training)).word == "reproduced"
    reversed_ = contrast("secondary", "reversed", points(EMBEDDING) - points(RANDOM))
    verdict = word(table, contrast(), reversed_)
    assert (verdict.word, verdict.reason) == ("partly", "did not hold: reversed")
    # The same secondary behind a shut gate says nothing.
    shut = dataclasses.replace(GATE, name="shut", at_least=90.0)
    verdict = word(table, contrast(needs=()), dataclasses.replace(reversed_, needs=("shut",)), shut)
    assert (verdict.word, verdict.remarks) == ("reproduced", ("not testable here: reversed",))
    missing = contrast("secondary", "elsewhere", points(Row("none", "accuracy", "feature")))
    assert word(table, contrast(), missing).remarks == ("not run: elsewhere",)


def test_missing_networks_and_seeds():
    assert word(accuracies(0.03, seeds=2), contrast()).word == "not run"
    elsewhere = contrast(value=points(FEATURE) - points(dataclasses.replace(FEATURE, network="x")))
    verdict = word(accuracies(0.03), elsewhere)
    assert (verdict.word, verdict.reason) == ("not run", "x has none of 3 seeds")
    table = accuracies(0.03)
    unmeasured = contrast(value=points(FEATURE) - points(dataclasses.replace(FEATURE, task="fine")))
    assert word(table, unmeasured).reason.startswith("nothing was measured of")
    rows = [r for r in table.rows.values() if not (r.seed > 2 and r.layer == "embedding")]
    assert judge_contrast(contrast(), make_table(rows, table.runs.values())).seeds == (0, 1, 2)
    gate_elsewhere = dataclasses.replace(GATE, value=points(Row("x", "accuracy", "feature")))
    assert word(table, contrast(), gate_elsewhere).word == "not run"


def test_an_instrument_that_fails_suspends_the_claim():
    bad = contrast("control", "agree", points(EMBEDDING) - points(FEATURE), instrument=True)
    assert word(accuracies(0.03), contrast(), bad).word == "not testable here"
    harmless = dataclasses.replace(bad, instrument=False)
    verdict = word(accuracies(0.03), contrast(), harmless)
    assert (verdict.word, verdict.controls[0].status) == ("reproduced", "not passed")


@pytest.mark.parametrize(
    ("factor", "expected"), [(2.0, "holds"), (0.5, "holds"), (1.0, "excluded")]
)
def test_two_sided_changes(factor, expected):
    rows = {
        ("narrow", "defect", "trained"): factor * np.array([0.5, 0.51, 0.49]),
        ("wide", "defect", "trained"): np.array([0.5, 0.5, 0.5]),
    }
    value = log(Row("narrow", "defect")) - log(Row("wide", "defect"))
    judged = judge_contrast(
        contrast(value=value, kind="two_sided", unit="times"), plain_table(rows)
    )
    assert judged.status == expected
    assert judged.shown(judged.effect) == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize(
    ("rival", "expected"), [(0.2, "holds"), (0.1, "excluded"), (0.05, "excluded")]
)
def test_forecasts_meet_the_best_rival_of_each_seed(rival, expected):
    rows = {
        ("frozen", "log_error", "theory"): np.array([0.1, 0.102, 0.099, 0.1]),
        ("frozen", "log_error", "rival:gauge"): rival * np.array([1, 9, 1, 1]),
        ("frozen", "log_error", "rival:isotropic"): rival * np.array([9, 1, 9, 9]),
    }
    error = Row("frozen", "log_error")
    value = forecast(
        dataclasses.replace(error, variant="theory"),
        gauge=dataclasses.replace(error, variant="rival:gauge"),
        isotropic=dataclasses.replace(error, variant="rival:isotropic"),
    )
    judged = judge_contrast(contrast(value=value, kind="forecast", unit="times"), plain_table(rows))
    assert judged.status == expected
    assert judged.rivals == ("gauge", "isotropic", "gauge", "gauge")
    assert judged.shown(judged.effect) == pytest.approx(rival / 0.1, rel=0.02)


@pytest.mark.parametrize(
    ("gap", "kind", "expected"),
    [
        (0.0, "equivalence", "holds"),
        (4.0, "equivalence", "excluded"),
        (-4.0, "equivalence", "excluded"),
        (4.0, "no_worse", "holds"),
        (-4.0, "no_worse", "excluded"),
        (1.9, "equivalence", "open"),
    ],
)
def test_equivalence(gap, kind, expected):
    rows = {("base", "accuracy", "trained"): 0.5 + gap / 100 + np.array([-0.002, 0.0, 0.002])}
    value = points(Row("base", "accuracy")) - 50.0
    judged = judge_contrast(contrast(value=value, kind=kind, margin=2.0), plain_table(rows))
    assert judged.status == expected


@pytest.mark.parametrize(("error", "expected"), [(2, "holds"), (5, "open"), (50, "excluded")])
def test_identities_are_held_to_their_rounding_bound(error, expected):
    rows = {
        ("joint", "ledger_error", "trained"): error * 1e-6 * np.array([0.5, 1.0, 0.2]),
        ("joint", "ledger_bound", "trained"): np.array([4e-6, 4e-6, 4e-6]),
    }
    value = Row("joint", "ledger_error") / Row("joint", "ledger_bound")
    judged = judge_contrast(
        contrast(value=value, kind="identity", unit="bounds"), plain_table(rows)
    )
    assert judged.status == expected
    assert judged.effect == pytest.approx(error / 4)


def test_shares_lost_need_something_to_lose():
    rows = {
        ("full", "accuracy", "trained"): np.array([0.6, 0.62, 0.58]),
        ("dropped", "accuracy", "trained"): np.array([0.2, 0.35, 0.34]),
    }
    value = share_lost(Row("full", "accuracy"), Row("dropped", "accuracy"), 0.1)
    judged = judge_contrast(contrast(value=value, unit="share"), plain_table(rows))
    assert judged.values[0] == pytest.approx(1 - 0.1 / 0.5)
    swapped = share_lost(Row("dropped", "accuracy"), Row("full", "accuracy"), 0.18)
    verdict = word(plain_table(rows), contrast(value=swapped, unit="share"))
    assert verdict.word == "not testable here"
    assert "2.0 points above chance" in verdict.reason


def test_terms_on_several_test_sets_add_their_errors():
    rng = np.random.default_rng(3)
    first = sampled_accuracies({("feature", "trained", "cifar10"): 0.5}, 4, 0.0, rng)
    second = sampled_accuracies({("feature", "trained", "mnist"): 0.5}, 4, 0.0, rng)
    table = joined(first, dataclasses.replace(second, runs={}))
    mnist = dataclasses.replace(FEATURE, task="mnist")
    alone = [judge_contrast(contrast(value=points(row)), table).shared for row in (FEATURE, mnist)]
    both = judge_contrast(contrast(value=mean(points(FEATURE), points(mnist))), table).shared
    assert both == pytest.approx(sum(alone) / 4)
    # Two layers on the same images share part of it, which their difference does not contain.
    paired = accuracies(0.0, seeds=4, spread=0.0)
    difference = judge_contrast(contrast(), paired).shared
    assert difference < 0.5 * judge_contrast(contrast(value=points(FEATURE)), paired).shared


def test_the_worst_group_is_chosen_on_validation_images():
    rows = {
        ("a", "accuracy", "trained"): [0.9, 0.9, 0.9],
        ("a", "accuracy", "untrained"): [0.1, 0.8, 0.1],
        ("b", "accuracy", "trained"): [0.7, 0.7, 0.7],
        ("b", "accuracy", "untrained"): [0.5, 0.5, 0.5],
    }
    scores = tuple(Row(name, "accuracy", variant="untrained") for name in "ab")
    values = tuple(Row(name, "accuracy") for name in "ab")
    judged = judge_contrast(contrast(value=points(Smallest(scores, values))), plain_table(rows))
    assert judged.values == pytest.approx((90, 70, 90))


def two_claims(first, second):
    def of(number, row):
        return Experiment(
            question="?",
            claims=(dataclasses.replace(CLAIM, id=number),),
            contrasts=(dataclasses.replace(contrast(value=row), claim=number),),
        )

    rows = {("a", "gap", "trained"): first, ("b", "gap", "trained"): second}
    experiments = {"two": of(2, points(Row("b", "gap"))), "one": of(1, points(Row("a", "gap")))}
    return experiments, plain_table(rows)


def test_primaries_that_do_not_survive_holm_are_marked():
    certain, likely = [0.030, 0.0301, 0.0299], [0.014, 0.02, 0.026]
    verdicts = judge(*two_claims(certain, likely))
    assert [verdict.claim.id for verdict in verdicts] == [1, 2]
    assert [verdict.word for verdict in verdicts] == ["reproduced", "reproduced"]
    assert [verdict.survives for verdict in verdicts] == [True, True]
    barely = [0.01, 0.03, 0.035]
    verdicts = judge(*two_claims(barely, barely))
    assert [verdict.survives for verdict in verdicts] == [False, False]
    assert expected_by_chance(verdicts) == pytest.approx(0.05)


def test_verdicts_json_has_its_format_and_one_form():
    experiments, table = two_claims([0.03, 0.031, 0.029], [0.0, 0.1, -0.1])
    verdicts = judge(experiments, table)
    text = verdicts_json(verdicts, table)
    assert text == verdicts_json(judge(experiments, table), table)
    content = json.loads(text)
    assert set(content) == {"tier", "environment", "claims"}
    claim = content["claims"][0]
    assert list(claim) == [
        "id", "claim", "source", "verdict", "gate", "primary", "secondary", "controls", "noted",
    ]  # fmt: skip
    assert claim["gate"] is None
    assert set(claim["primary"]) == {
        "name", "what", "effect", "low", "high", "unit", "seeds", "margin", "status",
    }  # fmt: skip
    assert claim["primary"]["effect"] == pytest.approx(3.0)
    assert claim["primary"]["margin"] == 1.0
    missing = make_table([], table.runs.values())
    empty = json.loads(verdicts_json(judge(experiments, missing), missing))["claims"][0]
    assert (empty["verdict"], empty["primary"]["effect"]) == ("not run", None)
    assert empty["primary"]["status"] == "not run"


def test_a_rule_changed_after_the_run_is_seen():
    rule = contrast()
    table = accuracies(0.03)
    same = f"7:{rules_digest([rule])} 9:feed"

    def dated(rules):
        runs = [
            Run("base", s, "laptop", rules=rules, date=f"2026-11-0{s + 1}T08:00") for s in range(5)
        ]
        return make_table(table.rows.values(), runs)

    assert word(dated(same), rule).changed == ()
    softened = dataclasses.replace(rule, margin=0.5)
    assert word(dated(same), softened).changed[0] == "2026-11-01"
    # Words that decide nothing may change.
    assert word(dated(same), dataclasses.replace(rule, says="{} anew")).changed == ()


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ([], "0 primary"),
        ([contrast(), contrast(name="again")], "2 primary"),
        ([contrast(), contrast("secondary")], "several contrasts named 'lead'"),
        ([contrast(needs=("light",))], "no gate 'light'"),
        ([contrast(), contrast("gate", "light")], "no at_least"),
        ([contrast(), dataclasses.replace(GATE, claim=8)], "of claim 8"),
        ([contrast(unit="nats")], "in nats; it needs a margin"),
    ],
)
def test_records_that_cannot_be_judged_are_refused(contrasts, message):
    with pytest.raises(InputError, match=message):
        Experiment(question="?", claims=(CLAIM,), contrasts=tuple(contrasts))


def test_a_logarithm_of_zero_is_no_number():
    rows = {("a", "imbalance", "trained"): [0.0, 1.0, 1.0]}
    verdict = word(plain_table(rows), contrast(value=log(Row("a", "imbalance")), unit="times"))
    assert verdict.word == "not testable here"
    assert "no logarithm of 0" in verdict.reason


def test_units_are_printed_as_they_are_read():
    rows = {("a", "defect", "trained"): [2.0, 2.0, 2.0]}
    judged = judge_contrast(
        contrast(value=log(Row("a", "defect")), unit="times"), plain_table(rows)
    )
    assert judged.effect == pytest.approx(math.log(2))
    assert judged.shown(judged.effect) == pytest.approx(2)


def test_nan_is_an_error_not_an_open_question():
    with pytest.raises(InputError, match="is nan"):
        make_table([Measurement("base", 0, "gap", math.nan)])
