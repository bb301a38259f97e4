"""Several heads, one verdict: an exponent counts only where other depths are excluded."""

import numpy as np
import pytest
import scipy.stats

from theory.comparison.replication import combine_verdicts
from theory.comparison.verdict import Agreement, JointVerdict
from theory.linalg.errors import InputError

_CRITERIA = {
    "holds": ({"balance": True}, False),
    "fails": ({"balance": False}, False),
    "inconclusive": ({"balance": True}, True),
}


def _heads(exponents, verdict="holds"):
    criteria, powerless = _CRITERIA[verdict]
    return [
        JointVerdict(
            predicted_count=3,
            measured_count=3,
            num_modes=3,
            balance=np.zeros(len(row)),
            agreement=Agreement(
                distances=np.zeros(len(row) + 1),
                law_distances=np.zeros(len(row) + 1),
                null_distances={},
                exponents=np.array([*row, 1.0]),
                affinity=1.0,
                predicted_modes=np.ones(3),
                measured_modes=np.ones(3),
                log_identity_r2=1.0,
                log_spread=1.0,
            ),
            criteria=criteria,
            powerless=powerless,
        )
        for row in exponents
    ]


@pytest.mark.parametrize("draws", [[0.5, 0.51, 0.49], [0.48, 0.52, 0.45, 0.55, 0.5]])
def test_the_interval_is_the_one_of_a_t_test(draws):
    found = combine_verdicts(_heads([[draw] for draw in draws]))
    expected = scipy.stats.ttest_1samp(draws, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-12)
    np.testing.assert_allclose(found.exponents, [np.mean(draws), 1.0])


@pytest.mark.parametrize(
    ("exponents", "excluded", "verdict"),
    [
        ([[0.333, 0.667], [0.334, 0.666], [0.332, 0.668]], [True, True], "holds"),
        # 1/4 and 1/2 belong to four layers, 1/2 and 1 to two.
        ([[0.25, 0.667], [0.334, 0.666], [0.42, 0.668]], [False, True], "inconclusive"),
        ([[0.333, 0.6], [0.334, 0.4], [0.332, 0.8]], [True, False], "inconclusive"),
        ([[0.333, 0.667], [0.334, 0.666]], [True, True], "inconclusive"),
        ([[0.333, 0.667]], [False, False], "inconclusive"),
    ],
)
def test_the_law_holds_where_every_head_holds_and_no_other_depth_fits(exponents, excluded, verdict):
    found = combine_verdicts(_heads(exponents))
    assert found.excludes_other_depths.tolist() == excluded
    assert found.verdict == verdict


def test_one_head_that_fails_fails_the_law_and_heads_are_of_one_kind():
    heads = _heads([[0.5]] * 3)
    assert combine_verdicts([*heads, *_heads([[0.5]], "fails")]).verdict == "fails"
    assert combine_verdicts([*heads, *_heads([[0.5]], "inconclusive")]).verdict == "inconclusive"
    one_layer = combine_verdicts(_heads([[]] * 3))
    assert one_layer.verdict == "holds"
    assert one_layer.excludes_other_depths.size == 0
    for wrong in ([], [*heads, *_heads([[0.3, 0.6]])]):
        with pytest.raises(InputError, match="all of one depth"):
            combine_verdicts(wrong)
