"""drm.py and screen.py: a display taken over, filled and given back, on a card that enforces the kernel's rules."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.config import Hdmi
from fer_edge.errors import SinkError
from fer_edge.records import Image
from fer_edge.sinks.hdmi import drm_abi as abi
from fer_edge.sinks.hdmi.drm import DisplayCard, KernelNode, Node
from fer_edge.sinks.hdmi.screen import DisplayScreen, choose, find
from fer_edge.testing.displays import FULL_HD, Socket, mode
from fer_edge.testing.drm import FakeCard, FakeNode


class Cards:
    """A folder of devices with made-up cards behind them."""

    def __init__(self, folder: Path, **cards: FakeCard | OSError) -> None:
        self.folder, self.cards = folder, cards
        for name in cards:
            (folder / name).touch()

    def open(self, path: str) -> Node:
        card = self.cards[Path(path).name]
        if isinstance(card, OSError):
            raise card
        return card.open()

    def find(self, **settings: Any) -> DisplayScreen:
        return DisplayScreen(find(Hdmi(**settings), folder=self.folder, opener=self.open))


def picture(width: int, height: int) -> Image:
    return np.asarray(np.random.default_rng(3).integers(0, 256, (height, width, 3)), np.uint8)


def test_numbers_and_sizes_are_the_kernels() -> None:
    """As its headers' macros work out on every 64-bit machine."""
    assert {
        *(abi.GETRESOURCES, abi.GETCRTC, abi.SETCRTC, abi.GETENCODER, abi.GETCONNECTOR, abi.RMFB, abi.ADDFB2),
        *(abi.PAGE_FLIP, abi.DIRTYFB, abi.CREATE_DUMB, abi.MAP_DUMB, abi.DESTROY_DUMB, abi.SET_MASTER, abi.GET_CAP),
    } == {
        *(0xC04064A0, 0xC06864A1, 0xC06864A2, 0xC01464A6, 0xC05064A7, 0xC00464AF, 0xC06864B8),
        *(0xC01864B0, 0xC01864B1, 0xC02064B2, 0xC01064B3, 0xC00464B4, 0x641E, 0xC010640C),
    }
    assert (abi.XRGB8888, abi.RGB565) == (0x34325258, 0x36314752)


def test_a_picture_is_shown_pixel_by_pixel_and_the_console_comes_back(tmp_path: Path) -> None:
    card = FakeCard()
    screen = Cards(tmp_path, card0=card).find()
    assert str(screen.found) == f"HDMI-A-1 of {tmp_path}/card0, 1920x1080@60"
    assert not card.picture().any(), "black, though its memory was not"
    shown = picture(1440, 1080)
    screen.show(shown)
    screen.settle()
    assert (card.picture()[:, 240:1680] == shown).all()
    assert not card.picture()[:, :240].any()
    assert not card.picture()[:, 1680:].any()
    screen.close()
    assert card.shows_console()
    assert not card.nodes, "the card is closed"


def test_pictures_take_turns_and_none_is_written_to_while_it_is_shown(tmp_path: Path) -> None:
    card = FakeCard()
    screen = Cards(tmp_path, card0=card).find()
    for number in range(6):
        screen.show(np.full((1080, 1440, 3), 40 * number, np.uint8))
    screen.settle()
    assert (card.picture()[500, 900] == 200).all()
    assert (card.flips, card.set_modes, card.torn) == (6, 1, False)
    for width, height in ((1920, 1080), (810, 1080), (1920, 540)):  # nothing of a wider one stays beside a narrow one
        for _ in range(2):
            screen.show(np.full((height, width, 3), 250, np.uint8))
    screen.settle()
    assert not card.picture()[:269].any()
    assert (card.picture()[270:810] == 250).all()
    screen.close()


def test_a_card_that_refuses_32_bits_gets_16(tmp_path: Path) -> None:
    card = FakeCard(formats=(abi.RGB565,))
    screen = Cards(tmp_path, card0=card).find()
    shown = picture(1920, 1080)
    screen.show(shown)
    screen.settle()
    assert np.abs(card.picture().astype(int) - shown).max() <= 7
    screen.close()
    with pytest.raises(SinkError, match=r"HDMI-A-1 of .*card0, 1920x1080@60: cannot be used: Invalid argument"):
        Cards(tmp_path, card0=(none := FakeCard(formats=()))).find()
    assert none.shows_console()
    assert not none.nodes


def test_a_driver_without_page_flips(tmp_path: Path) -> None:
    card = FakeCard(can_flip=False)
    screen = Cards(tmp_path, card0=card).find()
    for number in (100, 200):
        screen.show(np.full((1080, 1440, 3), number, np.uint8))
        assert (card.picture()[500, 900] == number).all()
    assert (card.flips, card.dirty) == (0, 3)
    screen.close()
    assert card.shows_console()


def test_a_display_that_does_not_answer(tmp_path: Path) -> None:
    card = FakeCard(answers_flips=False)
    screen = Cards(tmp_path, card0=card).find()
    screen.show(picture(1440, 1080))
    with pytest.raises(SinkError, match=r"1920x1080@60: has not shown a picture for 1 s"):
        screen.show(picture(1440, 1080))
    screen.close()
    assert card.shows_console()


def test_another_master_keeps_the_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    card = FakeCard()
    other = card.open()
    cards = Cards(tmp_path, card0=card)
    for card.root in (False, True):
        with pytest.raises(SinkError, match=r"another program is using the display .*it is taken over when that ends"):
            cards.find()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(
        SinkError, match=r"a desktop session is using the display.* use the browser preview \(section web\)"
    ):
        cards.find()
    assert card.nodes == [other], "no file of ours is left open"
    other.close()
    cards.find().close()


def test_the_card_with_the_display_is_chosen(tmp_path: Path) -> None:
    """A Pi 4 or 5 has one card that renders and one that shows."""
    cards = {
        "card0": FakeCard(renders_only=True),
        "card1": FakeCard(sockets=[Socket(40, plugged=False, known=False), Socket(41, number=2, modes=FULL_HD[2:])]),
        "card2": FakeCard(),
    }
    screen = Cards(tmp_path, **cards).find()
    assert str(screen.found) == f"HDMI-A-2 of {tmp_path}/card1, 1280x720@60"
    assert not cards["card0"].nodes
    assert not cards["card2"].nodes
    screen.close()
    screen = Cards(tmp_path, **cards).find(device=str(tmp_path / "card2"), connector="HDMI-A-1", mode="640x480@75")
    assert screen.size == (640, 480)
    assert screen.found.mode.vrefresh == 75
    screen.close()


def test_why_no_display_is_there(tmp_path: Path) -> None:
    def reason(**settings: str) -> str:
        with pytest.raises(SinkError) as error:
            cards.find(**settings)
        return str(error.value).replace(f"{tmp_path}/", "")

    cards = Cards(tmp_path)
    assert reason().endswith("on a Raspberry Pi, config.txt needs dtoverlay=vc4-kms-v3d")
    cards = Cards(
        tmp_path,
        card0=FakeCard(renders_only=True),
        card1=FakeCard(sockets=[Socket(40, plugged=False, known=False), Socket(41, kind=16, modes=())]),
        card2=PermissionError(errno.EACCES, "Permission denied"),
    )
    assert reason() == (
        "no display is connected: card0: has no outputs; card1: HDMI-A-1 disconnected, DSI-1 connected, without modes; "
        "card2: Permission denied; this user must be in group video"
    )
    assert reason(connector="HDMI-A-3", device=f"{tmp_path}/card1") == (
        "no display is connected (hdmi.connector: HDMI-A-3): "
        "card1: HDMI-A-1 disconnected, DSI-1 connected, without modes"
    )
    assert not any(card.nodes for card in cards.cards.values() if isinstance(card, FakeCard))


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("", "1920x1080@60"), ("1280x720", "1280x720@60"), ("640x480", "640x480@60"), ("640x480@75", "640x480@75")],
)
def test_modes(wanted: str, chosen: str) -> None:
    assert str(choose(FULL_HD, wanted)) == chosen


def test_modes_that_are_not_offered_too_large_or_interlaced() -> None:
    large = (mode(3840, 2160, 30, preferred=True), mode(1920, 1080, 30), mode(1920, 1080, 60), mode(800, 600))
    assert str(choose(large, "")) == "1920x1080@60"
    assert str(choose(large, "3840x2160")) == "3840x2160@30"
    assert str(choose(large, "1024x768")) == "1920x1080@60"
    assert str(choose(large[:1], "")) == "3840x2160@30"
    assert str(choose((mode(1920, 1080, preferred=True, interlaced=True), mode(1280, 720)), "")) == "1280x720@60"
    assert str(choose((mode(720, 576, 50, interlaced=True),), "")) == "720x576@50"


def test_a_second_display_gets_a_crtc_of_its_own(tmp_path: Path) -> None:
    first, second = Socket(40, crtcs=0b01), Socket(41, number=2, crtcs=0b11, plugged=False, known=False)
    card = FakeCard(sockets=[first, second], crtcs=(50, 51))
    card.plug(True, socket=1)  # after the console came up: no CRTC feeds it yet
    screen = Cards(tmp_path, card0=card).find(connector="HDMI-A-2")
    assert (first.crtc, second.crtc) == (50, 51)
    screen.show(picture(1440, 1080))
    screen.settle()
    assert card.picture(51).any()
    assert card.scanouts[50].fb == 1, "the console stays on the other display"
    keep = card.open()  # somebody else has the card open: the kernel does not bring anything back by itself
    screen.close()
    assert card.scanouts[51].mode is None, "as it was: off"
    keep.close()


def test_no_crtc_is_free(tmp_path: Path) -> None:
    card = FakeCard(sockets=[Socket(40), Socket(41, number=2, plugged=False, known=False)])
    card.plug(True, socket=1)
    with pytest.raises(SinkError, match="HDMI-A-2: the card has no free CRTC for it; unplug another display"):
        Cards(tmp_path, card0=card).find(connector="HDMI-A-2")


def test_the_console_comes_back_though_others_have_the_card_open(tmp_path: Path) -> None:
    card = FakeCard()
    screen = Cards(tmp_path, card0=card).find()
    keep = card.open()
    screen.close()
    assert card.shows_console()
    keep.close()


def test_an_unplugged_display_is_noticed_without_asking_it(tmp_path: Path) -> None:
    card = FakeCard()
    screen = Cards(tmp_path, card0=card).find()
    assert screen.is_connected()
    card.sockets[0].plugged = False  # the kernel has not heard of it
    assert screen.is_connected(), "an answer that takes long is not waited for"
    card.plug(False)
    assert not screen.is_connected()
    screen.close()


def test_the_real_node_says_what_the_kernel_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KernelNode(str(tmp_path / "card0"))
    node = KernelNode("/dev/null")
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        node.ioctl(abi.SET_MASTER)
    assert not DisplayCard(node).has_dumb_buffers()
    node.close()
    path = tmp_path / "memory"
    path.write_bytes(bytes(4096))
    node = KernelNode(str(path))
    node.map(0, 4096)[:3] = 7
    assert path.read_bytes()[:4] == b"\7\7\7\0"
    assert node.read(0.1) == path.read_bytes()
    node.close()


def test_events_of_other_kinds_are_passed_over() -> None:
    class Chatty(FakeNode):
        def read(self, timeout: float) -> bytes:
            return np.array([1, 16, 0, 0], np.uint32).tobytes() + super().read(timeout)

    card = FakeCard()
    node = Chatty(card)
    assert not DisplayCard(node).flipped(0.1)
    node.pending = 50, 1
    assert DisplayCard(node).flipped(0.1)
