"""`fer-edge notice`: one A4 page a language, which says what config.yaml says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from fer_edge.__main__ import main
from fer_edge.commands.notice import pdf
from fer_edge.commands.notice.content import FOLDER, LANGUAGES, Texts, notice
from fer_edge.commands.notice.html import html_page
from fer_edge.config import Attention, Config, History, Jsonl, Mqtt, Outbox, Pictures, Privacy
from fer_edge.errors import ConfigError, ReportError

URL = "https://example.org/camera?a=1&b=2"
PRIVACY = Privacy(purpose="retail", controller="A & B <Ltd>", contact="ask@example.org", notice_url=URL)
YAML = f"""\
privacy:
  purpose: care
  controller: "A & B <Ltd>, 1 Long Street, 12345 Town"
  contact: "ask@example.org"
  notice_url: "{URL}"
"""


def lines(config: Config, language: str = "en") -> Iterator[str]:
    for section in notice(config, language).sections:
        yield from section.lines


def test_every_language_has_every_text() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(LANGUAGES)
    english = msgspec.toml.decode((FOLDER / "en.toml").read_bytes(), type=Texts)
    for language in LANGUAGES:
        texts = msgspec.toml.decode((FOLDER / f"{language}.toml").read_bytes(), type=Texts)
        assert texts.purposes.keys() == english.purposes.keys()
        for name in Texts.__struct_fields__:
            mine, theirs = str(getattr(texts, name)), str(getattr(english, name))
            if name not in ("purposes", "numbers"):
                assert re.findall(r"{\w+}", mine) == re.findall(r"{\w+}", theirs), (language, name)


def test_it_says_what_is_recorded() -> None:
    text = " ".join(lines(Config(privacy=PRIVACY)))
    assert "Counting visitors" in text
    assert "No pictures" in text
    assert "68 points" not in text
    assert "medical" not in text
    assert "towards the camera" not in text
    assert "towards the camera" in " ".join(lines(Config(privacy=PRIVACY, attention=Attention(enabled=True))))
    assert "eyes look" not in " ".join(lines(Config(privacy=PRIVACY, attention=Attention(enabled=True))))
    assert "eyes look" in " ".join(lines(Config(privacy=PRIVACY, attention=Attention(enabled=True, iris=True))))
    more = msgspec.structs.replace(PRIVACY, images=True, landmarks=True, medical_or_safety=True)
    text = " ".join(lines(Config(privacy=more)))
    assert "No pictures" not in text
    assert "Pictures can be shown or sent" in text
    assert "68 points" in text
    assert "medical or safety reasons" in text


def test_it_says_how_long_what_is_kept() -> None:
    off = Config(privacy=PRIVACY, mqtt=Mqtt(enabled=False))
    assert "On the device: nothing." in lines(off)
    kept = msgspec.structs.replace(
        Config(privacy=msgspec.structs.replace(PRIVACY, receivers_keep_days=90)),
        history=History(enabled=True, keep_days=14),
        jsonl=Jsonl(enabled=True, max_bytes=5_000_000, backups=1),
    )
    text = list(lines(kept))
    assert "On the device: figures and events for 14 days." in text
    assert "On the device: a file of events of at most 10 MB." in text
    assert "On the device: events until they are delivered, at most 20,000 of them." in text
    assert "Those who receive the data keep them for 90 days." in text


def kept_lines(language: str, *, days: int, hours: float, events: int) -> str:
    config = msgspec.structs.replace(
        Config(privacy=msgspec.structs.replace(PRIVACY, images=True, receivers_keep_days=days)),
        history=History(enabled=True, keep_days=days),
        pictures=Pictures(enabled=True, keep_hours=hours),
        outbox=Outbox(max_events=events),
    )
    return " ".join(lines(config, language))


@pytest.mark.parametrize(
    ("language", "days", "hours", "number", "one_day", "one_hour", "half"),
    [
        ("en", "90 days", "5 hours", "20,000", "for 1 day.", "1 hour", "1.5 hours"),
        ("de", "90 Tage", "5 Stunden", "20.000", "1 Tag lang", "1 Stunde lang", "1,5 Stunden"),
        ("fr", "90 jours", "5 heures", "20\u00a0000", "1 jour.", "1 heure.", "1,5 heure."),
        ("es", "90 días", "5 horas", "20\u00a0000", "1 día.", "1 hora.", "1,5 horas"),
        ("it", "90 giorni", "5 ore", "20.000", "1 giorno.", "1 ora.", "1,5 ore"),
        ("nl", "90 dagen", "5 uur", "20.000", "1 dag.", "1 uur.", "1,5 uur"),
        ("pl", "90 dni", "5 godzin.", "20\u00a0000", "1 dzień.", "1 godzinę.", "1,5 godziny"),
    ],
)
def test_numbers_are_those_of_the_language(
    language: str, days: str, hours: str, number: str, one_day: str, one_hour: str, half: str
) -> None:
    many = kept_lines(language, days=90, hours=5.0, events=20_000)
    assert all(text in many for text in (days, hours, number)), many
    one = kept_lines(language, days=1, hours=1.0, events=1)
    assert all(text in one for text in (one_day, one_hour)), one
    assert one.count(one_day.strip(".")) >= 2
    assert half in kept_lines(language, days=1, hours=1.5, events=1)


def test_small_numbers_and_whole_days() -> None:
    numbers = msgspec.toml.decode((FOLDER / "pl.toml").read_bytes(), type=Texts).numbers
    shown = [numbers.hours_text(hours) for hours in (2.0, 12.0, 22.0, 24.0, 72.0)]
    assert shown == ["2 godziny", "12 godzin", "22 godziny", "24 godziny", "3 dni"]
    assert [numbers.text(value) for value in (1234, 0.25, 12345)] == ["1234", "0,25", "12\u00a0345"]


def test_it_has_to_name_who_is_responsible() -> None:
    with pytest.raises(ConfigError) as caught:
        notice(Config(privacy=Privacy(purpose="home")), "en")
    assert [finding.partition(":")[0] for finding in caught.value.findings] == [
        "section privacy, key controller",
        "section privacy, key contact",
    ]


def test_html_is_escaped_and_its_code_can_be_read() -> None:
    page = html_page([notice(Config(privacy=PRIVACY), language) for language in LANGUAGES])
    assert page.count("<article lang=") == len(LANGUAGES)
    assert "A &amp; B &lt;Ltd&gt;" in page
    assert "<Ltd>" not in page
    assert page.count("<svg") == len(LANGUAGES)
    assert "http" not in re.sub(r"https://example.org|http://www.w3.org", "", page)  # nothing is loaded


def test_without_an_address_there_is_no_code() -> None:
    page = html_page([notice(Config(privacy=msgspec.structs.replace(PRIVACY, notice_url="")), "pl")])
    assert "<svg" not in page
    assert "Więcej" not in page


def test_pdf_has_an_a4_page_a_language_with_a_code_that_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("fpdf", reason="the extra 'notice' is not installed")
    (tmp_path / "config.yaml").write_text(YAML)
    out = tmp_path / "notice.pdf"
    assert main(["notice", "-c", str(tmp_path / "config.yaml"), "-o", str(out)]) == 0
    data = out.read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", data)) == len(LANGUAGES)
    assert b"595.28 841.89" in data  # A4, in points


def test_the_code_leads_to_the_address() -> None:
    from fer_edge.commands.notice.code import code

    matrix = np.array([list(row) for row in code(URL).matrix_iter(scale=8, border=4)], np.uint8)
    found, _, _ = cv2.QRCodeDetector().detectAndDecode(((1 - matrix) * 255).astype(np.uint8))
    assert found == URL


def test_only_the_chosen_languages(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(YAML)
    out = tmp_path / "notice.html"
    command = ["notice", "-c", str(tmp_path / "config.yaml"), "--language", "pl", "--language", "de", "-o", str(out)]
    assert main(command) == 0
    assert re.findall(r'<article lang="(\w+)"', out.read_text()) == ["pl", "de"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notice.doc", "unknown format; expected a name that ends in .html or .pdf"),
        ("/proc/nowhere/notice.html", "cannot write the notice"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "config.yaml").write_text(YAML)
    assert main(["notice", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_without_the_extra_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(YAML)
    hidden = "import sys; sys.modules['fpdf'] = None; from fer_edge.__main__ import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["notice", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "x.pdf")]
    done = subprocess.run([sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'fer-edge[notice]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pictures_that_are_kept_are_said_in_every_language() -> None:
    kept = Config(pictures=Pictures(enabled=True, keep_hours=36), privacy=msgspec.structs.replace(PRIVACY, images=True))
    for language in LANGUAGES:
        assert any(" 36 " in line for line in lines(kept, language))


@pytest.mark.parametrize(
    ("absent", "path", "words"),
    [
        ("fpdf", "notice.pdf", "a PDF takes the package fpdf, which is not installed; run: pip install"),
        ("segno", "notice.html", "takes the package segno, which is not installed; run: pip install segno"),
    ],
)
def test_what_is_not_installed_is_one_line(
    absent: str,
    path: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    (tmp_path / "config.yaml").write_text(YAML)
    assert main(["notice", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / path)]) == 1
    assert words in capsys.readouterr().err


def test_an_address_that_no_code_can_hold_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(YAML.replace(URL, "https://example.org/" + "a" * 4000))
    assert main(["notice", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "notice.html")]) == 1
    assert "key notice_url: too long for a QR code (4020 characters)" in capsys.readouterr().err


def test_a_page_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SIZES", (60.0,))
    with pytest.raises(ReportError, match="the page in de does not fit A4; shorten controller, contact or notice_url"):
        pdf.pdf_pages([notice(Config(privacy=PRIVACY), "de")])
