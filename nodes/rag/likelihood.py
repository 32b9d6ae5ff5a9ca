"""Whether what was found answers a question: measures of both, weighed.

The weights are those of a logistic regression over the odd halves of the sets in `tests/retrieval`, each
question asked in several ways (`python -m tests.retrieval.fitting` finds them again, and what they do on
the even halves).
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Measures:
    """Of a question and the best passages for it.

    Args:
        covered: How like each word of the question is to its likest word of a passage, 0 to 1; rare
            words count more.
        stretch: How like the words of the question that tell something are to the likest ten words of a
            passage that stand together.
        held: Which share of what its words tell stands in one passage, word for word.
        near: Similarity of the nearest passage of the index.
        words: How many words the question has; of more, a smaller share has to be covered.
        english: 1 where it is English. Words of other languages stand farther from their likes.
        stranger: 1 where it names something that the index does not hold.
        size: Natural logarithm of the number of passages, of 50 to 2,000: among more, the best is nearer by
            chance.
    """

    covered: float
    stretch: float
    held: float
    near: float
    words: float
    english: float
    stranger: float
    size: float

    @property
    def likelihood(self) -> float:
        """0 to 1: how likely one of the passages answers."""
        told = sum(weight * value for weight, value in zip(WEIGHTS, astuple(self), strict=True))
        return 1 / (1 + math.exp(-(told + CONSTANT)))


# In the order of the fields above.
WEIGHTS = (6.51, 4.83, 1.37, 6.78, 0.33, -0.55, -0.35, -0.28)
CONSTANT = -6.89
# From this likelihood on, passages are shown: three of four questions that nothing answers are below.
LIKELY = 0.62
