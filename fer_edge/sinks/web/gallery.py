"""The pictures at events, as a page of their own: no script, the newest first."""

from __future__ import annotations

from html import escape
from pathlib import Path

from fer_edge.runtime.time_text import clock_text
from fer_edge.sinks.picture_ring import pictures_in

NONE = (
    "<p class='empty'>There is no picture. Section <code>pictures</code> of config.yaml defines when one is taken.</p>"
)


def gallery(folder: Path | None) -> str:
    """What stands in the page. `folder`: where the pictures are; None: none may be shown."""
    if folder is None:
        return "<p class='empty'>Pictures stay on the device (<code>privacy.images</code> is false in config.yaml).</p>"
    try:
        found = pictures_in(folder)
    except OSError as error:
        return f"<p class='empty'>The pictures cannot be read: {escape(error.strerror or str(error))}.</p>"
    items = [
        f'<li><figure><a href="pictures/{escape(each.path.name)}">'
        f'<img src="pictures/{escape(each.path.name)}" alt="{escape(each.words)}" loading="lazy"></a>'
        f"<figcaption>{escape(each.words)}, <time>{clock_text(each.at_s, wall=True)}</time></figcaption></figure></li>"
        for each in found
    ]
    return f"<ul class='gallery'>{''.join(items)}</ul>" if items else NONE
