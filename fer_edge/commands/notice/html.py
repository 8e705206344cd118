"""The notice as one HTML file that needs nothing else: an A4 page a language, to print from a browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fer_edge.commands.notice.code import code
from fer_edge.commands.notice.content import Notice, Section

STYLE = """
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
body { margin: 0; background: #ddd; color: #111; font: 12.5pt/1.4 "DejaVu Sans", system-ui, sans-serif }
article { width: 210mm; min-height: 297mm; margin: 0 auto 5mm; padding: 16mm 18mm 14mm; background: #fff;
  display: flex; flex-direction: column; break-after: page }
h1 { margin: 0 0 4mm; padding-bottom: 4mm; border-bottom: 1.2mm solid #111; font-size: 25pt; line-height: 1.15 }
h2 { margin: 5mm 0 1mm; font-size: 13.5pt }
p { margin: 0 } ul { margin: 0; padding-left: 5.5mm }
.intro { font-size: 15pt }
footer { margin-top: auto; padding-top: 4mm; display: flex; gap: 6mm; align-items: end; font-size: 9.5pt }
footer p { flex: 1 } figure { margin: 0; text-align: center; max-width: 60mm; overflow-wrap: anywhere }
svg { width: 32mm; height: 32mm; display: block; margin: 0 auto 1mm }
@media print { body { background: none } article { margin: 0 } }
@media screen and (max-width: 230mm) { body { font-size: 1rem } h1 { font-size: 1.6rem } .intro { font-size: 1.15rem }
  article { width: auto; min-height: 0; padding: 1.2rem; overflow-wrap: anywhere }
  footer { flex-wrap: wrap } footer p { flex-basis: 14rem } }
"""


def html_page(pages: Sequence[Notice]) -> str:
    """All pages in one file."""
    first = pages[0]
    articles = "\n".join(map(_article, pages))
    size = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">\n{size}\n<title>{escape(first.title)}</title>\n<style>{STYLE}</style>'
    opening = f'<!doctype html>\n<html lang="{first.language}">\n<head>\n{head}\n</head>'
    return f"{opening}\n<body>\n<main>\n{articles}\n</main>\n</body>\n</html>\n"


def _article(page: Notice) -> str:
    sections = "\n".join(map(_section, page.sections))
    return (
        f'<article lang="{page.language}">\n<h1>{escape(page.title)}</h1>\n<p class="intro">{escape(page.intro)}</p>\n'
        f"{sections}\n<footer><p>{escape(page.law)}</p>{_code(page)}</footer>\n</article>"
    )


def _section(section: Section) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in section.lines)
    return f"<h2>{escape(section.heading)}</h2>\n<ul>{lines}</ul>"


def _code(page: Notice) -> str:
    if not page.url:
        return ""
    drawn = code(page.url).svg_inline(omitsize=True, border=4)
    return f"<figure>{drawn}<figcaption>{escape(page.more)}<br>{escape(page.url)}</figcaption></figure>"
