"""Claims 10 and 11: what stronger augmentation does to projector and encoder."""

from experiments.core.contrasts import Contrast
from experiments.core.experiment import COSENTINO, Claim, Experiment
from experiments.core.gates import learned
from experiments.core.names import level
from experiments.core.panels import Course, Line
from experiments.core.values import Row, Value, log, mean

NETWORKS = ("weak", "base", "strong")
PROBE = level(strength=0.3)
PROPERTIES = ("brightness", "color", "contrast", "position")


def _log_defect(network: str, layer: str, variant: str = "trained") -> Value:
    return log(Row(network, "defect", layer, "cifar10", variant, PROBE))


def _log_ratio(network: str, variant: str = "trained") -> Value:
    """Log R: the defect after the head over that before it, both on the unit sphere."""
    before = "untrained" if variant == "untrained" else "trained"
    return _log_defect(network, "embedding", variant) - _log_defect(network, "feature", before)


def _log_rank(network: str, layer: str, variant: str = "trained") -> Value:
    return log(Row(network, "erank", layer, "cifar10", variant))


def _rank_fall(layer: str, variant: str = "trained") -> Value:
    return _log_rank("weak", layer, variant) - _log_rank("strong", layer, variant)


def _r2(network: str, layer: str, prop: str, variant: str = "trained") -> Row:
    return Row(network, "r2", layer, "cifar10", variant, level(property=prop))


def _information_lost(network: str, variant: str = "trained") -> Value:
    """Mean over properties of the share of their explained variance that the head loses."""
    return mean(
        *(
            1 - _r2(network, "embedding", prop, variant) / _r2(network, "feature", prop)
            for prop in PROPERTIES
        )
    )


def _course(quantity: str, claim: int, measured_at: str, title: str, y: str) -> Course:
    def line(name: str, layer: str, variant: str, is_null: bool = False) -> Line:
        rows = (Row(n, quantity, layer, "cifar10", variant, measured_at) for n in NETWORKS)
        return Line(name=name, values=tuple(rows), is_null=is_null)

    return Course(
        name=f"strength-{quantity}",
        claim=claim,
        title=title,
        levels=(0.1, 0.5, 1.25),
        lines=(
            line("before the head", "feature", "trained"),
            line("after the head", "embedding", "trained"),
            line("after a random head", "embedding", "random_head", is_null=True),
            line("untrained", "feature", "untrained", is_null=True),
        ),
        x="strength of the augmentation",
        y=y,
        log_x=True,
        log_y=True,
    )


def _gates(claim: int) -> tuple[Contrast, ...]:
    def fitted(network: str) -> Contrast:
        return Contrast(
            claim=claim,
            name=f"fitted({network})",
            role="gate",
            unit="nats",
            at_least=0.5,
            value=Row(network, "loss", variant="untrained") - Row(network, "loss"),
            says=f"At {network} augmentation training lowers the loss on held-out images by {{}}.",
        )

    return (
        learned(claim, "base", "cifar10", "Training gains {} on CIFAR-10."),
        fitted("weak"),
        fitted("strong"),
    )


_INVARIANCE = (
    Contrast(
        claim=10,
        name="fall of the defect, head less encoder",
        role="primary",
        unit="times",
        needs=("learned(cifar10)", "fitted(weak)", "fitted(strong)"),
        value=_log_ratio("weak") - _log_ratio("strong"),
        says="From weak to strong augmentation the defect falls {} as much after the head as before"
        " it.",
    ),
    *_gates(10),
    Contrast(
        claim=10,
        name="the head's output becomes invariant",
        role="secondary",
        unit="times",
        value=_log_defect("weak", "embedding") - _log_defect("strong", "embedding"),
        says="The defect of the head's output is {} smaller at strong augmentation.",
    ),
    Contrast(
        claim=10,
        name="training, not a further layer",
        role="secondary",
        unit="times",
        value=_log_ratio("strong", "random_head") - _log_ratio("strong"),
        says="At strong augmentation a random head leaves {} as much of the encoder's defect as the"
        " trained one.",
        beside=True,
    ),
    Contrast(
        claim=10,
        name="untrained network",
        role="noted",
        unit="times",
        value=_log_ratio("weak", "untrained") - _log_ratio("strong", "untrained"),
        says="In untrained networks the defect falls {} as much after the head as before it.",
    ),
    Contrast(
        claim=10,
        name="amplification at weak augmentation",
        role="noted",
        unit="times",
        value=_log_ratio("weak"),
        says="At weak augmentation the defect after the head is {} that before it.",
    ),
)

_DIMENSION = (
    Contrast(
        claim=11,
        name="fall of the effective rank, head less encoder",
        role="primary",
        unit="times",
        needs=("learned(cifar10)", "fitted(weak)", "fitted(strong)"),
        value=_rank_fall("embedding") - _rank_fall("feature"),
        says="From weak to strong augmentation the effective rank falls {} as much after the head"
        " as before it.",
    ),
    *_gates(11),
    Contrast(
        claim=11,
        name="readable",
        role="gate",
        unit="of explained variance",
        at_least=0.3,
        value=mean(*(_r2("strong", "feature", prop) for prop in PROPERTIES)),
        says="Before the head {} of brightness, color, contrast and position is read.",
    ),
    Contrast(
        claim=11,
        name="information lost, trained less random head",
        role="secondary",
        unit="share",
        needs=("learned(cifar10)", "fitted(weak)", "fitted(strong)", "readable"),
        value=_information_lost("strong") - _information_lost("strong", "random_head"),
        says="The trained head loses {} more of what is read of image properties than a random"
        " head.",
    ),
    Contrast(
        claim=11,
        name="information lost, strong less weak",
        role="secondary",
        unit="share",
        needs=("learned(cifar10)", "fitted(weak)", "fitted(strong)", "readable"),
        value=_information_lost("strong") - _information_lost("weak"),
        says="The head loses {} more of what is read of image properties at strong augmentation"
        " than"
        " at weak.",
    ),
    Contrast(
        claim=11,
        name="training, not a further layer",
        role="secondary",
        unit="times",
        value=_rank_fall("embedding") - _rank_fall("embedding", "random_head"),
        says="The effective rank falls {} as much after the trained head as after a random one.",
        beside=True,
    ),
)

EXPERIMENT = Experiment(
    question="Under stronger augmentation, is it the projector or the encoder that becomes"
    " invariant, and does the projector lose dimensions?",
    claims=(
        Claim(
            10,
            "the projector becomes invariant",
            "With stronger augmentation the projector, rather than the encoder, becomes invariant.",
            COSENTINO,
            "Abstract.",
            "The invariance defect (within-orbit variance over total variance, on the unit sphere)"
            " is measured with views of strength 0.3, before and after the head, in networks"
            " trained at strengths 0.1 and 1.25. The claim is that it falls by more after the head"
            " than before it.",
        ),
        Claim(
            11,
            "the projector loses dimensions",
            "The projector becomes invariant by eliminating information and by projecting to a low"
            " dimension.",
            COSENTINO,
            "Abstract.",
            "The effective rank (exponential of the entropy of normalized variances, clean test"
            " images, unit sphere) is compared before and after the head, at weak and strong"
            " augmentation; information is what linear regression reads of an image's brightness,"
            " color, contrast and position.",
        ),
    ),
    contrasts=(*_INVARIANCE, *_DIMENSION),
    panels=(
        _course("defect", 10, PROBE, "Invariance defect, probed at strength 0.3.", "defect"),
        _course("erank", 11, "", "Effective rank of the layer spectrum.", "effective rank"),
    ),
    scope="CIFAR-10 at 16 pixels, one loss; strength scales all changes of an image at once.",
)
