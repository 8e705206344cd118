"""Which pictures show the same: small edits of one another, as photos from the web often are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.records import Image

ALIKE_BITS = 20  # of 256: pictures whose difference hashes are this close show the same


def difference_hash(image: Image) -> NDArray[np.bool_]:
    """A picture's dHash (Krawetz 2013), u8[H,W] -> bool[256]: where it brightens to the right; small edits keep it."""
    small = cv2.resize(image, (17, 16), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, 1:] > small[:, :-1]).reshape(-1)


def first_of_each(prints: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For pictures with the hashes bool[N,256] the first one of those that show the same, i[N]: also where only a third
    one is like both."""
    count = len(prints)
    alike = np.array([np.count_nonzero(prints != own, axis=1) <= ALIKE_BITS for own in prints]).reshape(count, count)
    first = np.arange(count)
    while True:
        earlier = np.where(alike, first, count).min(axis=1, initial=count)
        if np.array_equal(earlier, first):
            return first
        first = earlier
