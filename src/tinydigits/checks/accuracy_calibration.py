"""How far the model's confidence is from its accuracy: the expected calibration error.

The probabilities of the predicted classes are sorted into equally wide bins; in each bin the mean probability is
compared with the share of right answers, and the differences are averaged, weighted by the images in the bin (Naeini,
Cooper, Hauskrecht, AAAI 2015; 15 bins as in Guo et al., ICML 2017). The figure is compared as it is: it has no simple
interval, and with few images it comes out too large, never too small.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Margin, answers
from tinydigits.checks._subject import Subject
from tinydigits.figures import points
from tinydigits.verdict import Finding

NAME = "accuracy.calibration"
ADVICE = (
    "Label smoothing, or an average of the weights, brings probabilities nearer; so does a temperature in the model."
)


class Limits(ImageLimits):
    """`{max = 0.02}`: 0 is perfect, 0.02 means two points too sure (or too unsure) on average."""

    max: Margin = Field(description="the largest expected calibration error")
    bins: int = Field(15, ge=2, description="how many bins the probabilities are sorted into")

    def text(self) -> str:
        return f"at most {self.max:g} on {self.images}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the model's probabilities with its right answers."""
    images, evaluation = answers(subject, limits)
    error = evaluation.calibration_error(images.labels_N, limits.bins)
    sureness = float(evaluation.probability_N.mean()) - evaluation.accuracy
    too = f"{points(abs(sureness))[1:]} points too {'sure' if sureness > 0 else 'unsure'}"
    why = f"on average {too}, in {limits.bins} bins"
    return Finding.judge(
        NAME, error <= limits.max, measured=f"{error:.4f}", why=why,
        details={"calibration_error": error, "bins": limits.bins, "mean_probability_minus_accuracy": sureness},
    )  # fmt: skip


class _Timid(nn.Module):
    """Right answers with hardly more than equal probabilities."""

    def forward(self, images: Tensor) -> Tensor:
        return 0.1 * asked(0).model(images)


EXAMPLES = (
    Example("pass", lambda: asked(0, sharpness=20.0), {"max": 0.01}, says="0.0000"),
    Example("fail", lambda: asked(0, model=_Timid()), {"max": 0.1}, says="too unsure"),
    Example("fail", lambda: asked(1, sharpness=20.0), {"max": 0.05}, says="too sure"),
    Example("not run", lambda: small(), {"max": 0.01}, says="untrained"),
)
