"""`fer-edge notice` on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fer_edge.commands.camera_options import add_camera_argument, camera_configs, chosen_camera
from fer_edge.commands.notice.content import LANGUAGES, Notice, notice
from fer_edge.commands.notice.html import html_page
from fer_edge.config import Config
from fer_edge.errors import ReportError
from fer_edge.runtime.atomic_file import FOR_ALL, replace_file

EXAMPLES = """\
Examples:
  fer-edge notice -o notice.html              to print from a browser; one A4 page a language
  fer-edge notice -o notice.pdf               needs the extra: pip install 'fer-edge[notice]'
  fer-edge notice --language de --language fr -o notice.pdf
  fer-edge notice --camera front -o front.html    with section cameras: about this one alone, by its name
Its content comes from config.yaml: section privacy names purpose, controller, contact and notice_url (the QR code).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which languages, and where it goes."""
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="write it there: a name in .html or .pdf"
    )
    parser.add_argument(
        "--language",
        action="append",
        choices=LANGUAGES,
        help="one of its pages; may be given several times (default: all)",
    )
    add_camera_argument(parser, "only this one, where the configuration has section cameras (default: all of them)")


def run(config: Config, options: argparse.Namespace) -> int:
    """Write the notice. Raises ReportError or ConfigError."""
    path: Path = options.out
    if path.suffix not in (".html", ".pdf"):
        raise ReportError(f"{path}: unknown format; expected a name that ends in .html or .pdf")
    pages = _pages(config, options.language or LANGUAGES, options.camera)
    if path.suffix == ".html":
        data = html_page(pages).encode()
    else:
        from fer_edge.commands.notice.pdf import pdf_pages  # here, for it is an extra

        data = pdf_pages(pages)
    try:
        replace_file(path, data, mode=FOR_ALL)
    except OSError as error:
        raise ReportError(f"{path}: cannot write the notice: {error.strerror}; choose another file") from None
    return 0


def _pages(config: Config, languages: Sequence[str], camera: str | None) -> list[Notice]:
    """One page for each language. One page about all cameras states what they have in common."""
    many = len(camera_configs(config))
    own, about = (config, many) if camera is None else (chosen_camera(config, camera), 1)
    named = camera if many > 1 else None
    return [notice(own, language, cameras=about, camera=named) for language in dict.fromkeys(languages)]
