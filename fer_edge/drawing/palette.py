"""The colours of expressions: the same on pictures, pages and terminals."""

from __future__ import annotations

Color = tuple[int, int, int]

PALETTE: dict[str, Color] = {
    "neutral": (187, 187, 187),
    "happiness": (66, 228, 240),
    "surprise": (233, 180, 86),
    "sadness": (178, 114, 0),
    "anger": (0, 94, 213),
    "disgust": (115, 158, 0),
    "fear": (167, 121, 204),
    "contempt": (0, 159, 230),
}
"""BGR; the colour-blind-safe palette of Okabe and Ito (2008), gray for neutral."""

ABSTAINED: Color = (120, 120, 120)
DARK: Color = (24, 24, 24)  # behind text, and around lines: so they stand out from any picture
LIGHT: Color = (245, 245, 245)


def css(color: Color) -> str:
    """A colour as `#rrggbb`, the form of CSS, SVG and terminals."""
    blue, green, red = color
    return f"#{red:02x}{green:02x}{blue:02x}"
