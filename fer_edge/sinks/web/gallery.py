"""The pictures at events, as a page of their own: no script, the newest first."""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import Path

from fer_edge.runtime.count_text import counted
from fer_edge.runtime.time_text import local
from fer_edge.sinks.picture_ring import Picture, pictures_in

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
    days = groupby(found, key=lambda each: local(each.at_s).date())
    parts = [f"<h2>{day:%A}, {day}</h2><ul class='gallery'>{''.join(map(_item, each))}</ul>" for day, each in days]
    return f"<p class='note'>{counted(len(found), 'picture')}, the newest first</p>{''.join(parts)}" if parts else NONE


def _item(picture: Picture) -> str:
    """A picture with what it is of, and when."""
    name, words, when = escape(picture.path.name), escape(picture.words), local(picture.at_s)
    time = f'<time datetime="{when.isoformat(timespec="seconds")}">{when:%H:%M:%S}</time>'
    return (
        f'<li><figure><a href="pictures/{name}"><img src="pictures/{name}" alt="{words}" loading="lazy"></a>'
        f"<figcaption><strong>{words}</strong> {time}</figcaption></figure></li>"
    )
