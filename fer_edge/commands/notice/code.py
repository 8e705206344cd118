"""The QR code of an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.errors import ReportError

if TYPE_CHECKING:
    from segno import QRCode


def code(url: str) -> QRCode:
    """It can still be read where 15 % of it cannot be seen. Raises ReportError."""
    try:
        import segno  # here: nothing else takes it
    except ImportError:
        what = "the QR code of privacy.notice_url takes the package segno, which is not installed"
        raise ReportError(f"{what}; run: pip install segno, or leave that key empty") from None
    try:
        return segno.make(url, error="m", micro=False)
    except segno.DataOverflowError:
        what = f"section privacy, key notice_url: too long for a QR code ({len(url)} characters)"
        raise ReportError(f"{what}; expected a shorter address") from None
