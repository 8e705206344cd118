"""Posed and natural faces: reading, who is on which side, how they are cut, drawn and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.records import LABELS, Box, Face, Landmarks, Pose
from quantize import daemon_stages
from quantize.data import cut_faces, cut_natural, face_pools, natural, posed
from quantize.data.ferplus import Examples
from quantize.data.sets import DataError
from quantize.data.teacher import read_teacher
from quantize.evaluate import natural as measure_natural
from quantize.evaluate import posed as measure_posed
from tests.support.ferplus_samples import pictures
from tests.support.made_up_sets import png, table, write_natural, write_posed, write_stills, write_zip
from tests.support.paths import MODELS

LANDMARKS = MODELS / "landmarks.tflite"


# --- reading -------------------------------------------------------------------------------------------------


def test_nobody_is_on_both_sides(tmp_path: Path) -> None:
    everybody = posed.read_posed(write_posed(tmp_path / "ckplus48.zip", people=30))
    kept, learned = everybody.side(held_out=True), everybody.side(held_out=False)
    assert not set(kept.people) & set(learned.people)
    assert len(kept.labels) + len(learned.labels) == 210
    assert 5 <= len(set(kept.people)) <= 15  # about a third
    assert LABELS[kept.labels[0]] == "happiness"


def test_the_sides_are_the_same_for_ever() -> None:
    people = ("S005", "S010", "S011", "S014", "S022", "S026")
    assert posed.held_out_people(people).tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "file,person,expression\n0.png,S1,joy\n", "expected one of neutral, happiness"),
        ("labels.csv", "file,who,expression\n0.png,S1,fear\n", "expected rows with the columns person"),
        ("faces/0.png", png(np.zeros((40, 48), np.uint8)), "faces/0.png: expected 48x48 px, got 48x40"),
    ],
)
def test_a_bad_set_of_posed_faces_is_one_line(tmp_path: Path, name: str, content: Any, message: str) -> None:
    good: dict[str, Any] = {"labels.csv": "file,person,expression\n0.png,S1,fear\n", "faces/0.png": png(pictures(1)[0])}
    with pytest.raises(DataError, match=message):
        posed.read_posed(write_zip(tmp_path / "set.zip", good | {name: content}))


def test_both_pictures_of_somebody_are_on_one_side(tmp_path: Path) -> None:
    faces = natural.read_natural(write_natural(tmp_path / "natural.npz", people=40))
    sides = faces.held_out()
    assert (sides[::2] == sides[1::2]).all()
    assert 0 < sides.sum() < 40


def test_a_file_that_holds_no_natural_faces_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", canvases=np.zeros(1))
    with pytest.raises(DataError, match=r"expected a file of quantize\.data\.cut_natural"):
        natural.read_natural(tmp_path / "other.npz")


def test_teachers_must_have_seen_the_same_pictures(tmp_path: Path) -> None:
    rows = np.full((3, 8), 1 / 8, np.float16)
    np.savez(tmp_path / "teacher.npz", ferplus=rows, posed=rows, natural=rows)
    assert read_teacher(tmp_path / "teacher.npz", posed=3).natural.dtype == np.float32
    with pytest.raises(DataError, match="ferplus: expected 4 rows as in the set, got 3"):
        read_teacher(tmp_path / "teacher.npz", ferplus=4)
    with pytest.raises(DataError, match=r"expected a file of quantize\.teachers"):
        read_teacher(tmp_path / "absent.npz")


# --- cutting -------------------------------------------------------------------------------------------------


def test_the_crop_is_in_the_middle_of_its_canvas() -> None:
    crops = pictures(3)
    canvases = cut_faces.on_canvas(crops)
    assert canvases.shape == (3, 64, 64)
    np.testing.assert_array_equal(cut_faces.crops_of(canvases), crops)
    assert (canvases[:, 20, 0] == crops[:, 12, 0]).all()  # the edge is repeated


def test_eyes_and_mouth_are_brought_onto_the_template() -> None:
    gray = np.zeros((200, 200), np.uint8)
    points = np.full((68, 2), 100.0, np.float32)
    points[36:42], points[42:48], points[48:60] = (70, 80), (130, 80), (100, 147)
    gray[79:82, 69:72] = 255
    canvas = cut_faces.align(gray, Landmarks(points, 1.0, Pose(0, 0, 0)))
    row, column = np.unravel_index(canvas.argmax(), canvas.shape)
    x, y = (column - 8 + 0.5) / 48, (row - 8 + 0.5) / 48
    assert (x, y) == pytest.approx(cut_faces.TEMPLATE["left_eye"], abs=0.02)


def test_the_nearest_face_to_the_middle_is_cut() -> None:
    frame = daemon_stages.frame_of(np.zeros((100, 100), np.uint8))
    points = np.random.default_rng(1).uniform(30, 70, (68, 2)).astype(np.float32)
    keypoints = np.zeros((5, 2), np.float32)
    middle, corner = (Face(Box(*box), 0.9, keypoints) for box in ((40, 40, 60, 60), (0, 0, 10, 10)))
    asked: list[Face] = []

    def landmarker(score: float) -> Any:
        def place(_: Any, face: Face) -> Landmarks:
            asked.append(face)
            return Landmarks(points, score, Pose(0, 0, 0))

        return place

    assert cut_natural.cut_one(frame, lambda _: (corner, middle), landmarker(0.9)) is not None  # type: ignore[arg-type]
    assert asked == [middle]
    assert cut_natural.cut_one(frame, lambda _: (corner,), landmarker(0.9)) is None  # type: ignore[arg-type]
    assert cut_natural.cut_one(frame, lambda _: (middle,), landmarker(0.1)) is None  # type: ignore[arg-type]
    assert cut_natural.cut_one(frame, lambda _: (), landmarker(0.9)) is None  # type: ignore[arg-type]


def test_who_is_in_another_set_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("1", "Some_Body0_0001.jpg", "Anger"), ("1", "Else_0001.jpg", "anger"), ("1", "Odd_0001.jpg", "bored")]
    files: dict[str, Any] = {f"images/{name}": png(pictures(1)[0]) for _, name, _ in rows}
    legend = {"data/legend.csv": table(("user.id", "image", "emotion"), rows)}
    where = write_zip(tmp_path / "faces.zip", files | legend)
    known = [name for name, *_ in cut_natural.pictures_of(where, frozenset({"Some_Body0"}))]
    assert known == ["Else_0001.jpg"]
    stills = write_stills(tmp_path / "landmarks68.zip", people=2)
    command = ["--data", str(where), "--stills", str(stills), "--models", str(MODELS), "--out", str(tmp_path / "n.npz")]
    assert cut_natural.main(command) == 1
    assert "found no face in any" in capsys.readouterr().err


def test_natural_faces_are_written_into_a_folder_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stills = write_stills(tmp_path / "landmarks68.zip", people=2)
    found = natural.Natural(np.zeros((2, 64, 64), np.uint8), np.array([0, 1]), ("Some_Body_0001.jpg", "Else_0001.jpg"))
    monkeypatch.setattr(cut_natural, "cut", lambda *_, **__: found)
    out = tmp_path / "sets" / "natural.npz"
    assert cut_natural.main(["--data", "faces.zip", "--stills", str(stills), "--out", str(out)]) == 0
    assert natural.read_natural(out).names == found.names
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "natural.npz")
    assert cut_natural.main(["--data", "faces.zip", "--stills", str(stills), "--out", below]) == 1


# --- drawing -------------------------------------------------------------------------------------------------


def pool(share: float, label: int, *, count: int = 4) -> face_pools.Pool:
    canvases = np.full((count, 64, 64), label, np.uint8)
    targets = face_pools.one_label(np.full(count, label))
    return face_pools.Pool(canvases, canvases + 100, targets, share=share, widest=1.2)


def test_pools_are_drawn_by_their_shares() -> None:
    pools, rng = [pool(0.9, 1), pool(0.1, 2)], np.random.default_rng(1)
    drawn = [(each, targets) for _ in range(200) for each, _, targets in face_pools.draw(pools, 32, rng)]
    counts = [sum(len(targets) for each, targets in drawn if each is one) for one in pools]
    assert sum(counts) == 200 * 32
    assert counts[1] / sum(counts) == pytest.approx(0.1, abs=0.02)


def test_a_pool_that_a_batch_has_nothing_of_is_left_out() -> None:
    """A batch of 64 has no posed face once in a few hundred times; nothing can be made of no pictures."""
    pools, rng = [pool(0.999, 1), pool(0.001, 2)], np.random.default_rng(1)
    assert [each for each, *_ in face_pools.draw(pools, 4, rng)] == [pools[0]]


def test_a_part_of_the_views_is_cut_as_the_daemon_cuts() -> None:
    rng = np.random.default_rng(2)
    levels = np.concatenate([canvases[:, 0, 0] for _, canvases, _ in face_pools.draw([pool(1.0, 1)], 2000, rng)])
    assert np.mean(levels == 101) == pytest.approx(face_pools.ALIGNED_SHARE, abs=0.04)


def test_rare_expressions_are_drawn_more_often_than_they_are_there() -> None:
    targets = face_pools.one_label(np.array([0] * 99 + [7]))
    odds = face_pools.odds(targets)
    assert odds.sum() == pytest.approx(1)
    assert odds[-1] / odds[0] == pytest.approx(99**face_pools.RARE_POWER)


def test_a_single_label_leaves_some_doubt() -> None:
    (row,) = face_pools.one_label(np.array([4]))
    assert row.sum() == pytest.approx(1)
    assert row[4] == pytest.approx(0.93 + 0.07 / 8)


def test_natural_faces_are_learned_from_where_teachers_have_spoken(tmp_path: Path) -> None:
    everybody = posed.read_posed(write_posed(tmp_path / "ckplus48.zip", people=6))
    ferplus = Examples(pictures(5), face_pools.one_label(np.zeros(5, np.intp)))
    alone = face_pools.make_pools(tmp_path, ferplus, LANDMARKS, None)
    assert [each.share for each in alone] == [1 - face_pools.POSED_SHARE, face_pools.POSED_SHARE]
    assert len(alone[1].targets) == len(everybody.side(held_out=False).labels)

    faces = natural.read_natural(write_natural(tmp_path / "natural.npz", people=10))
    counts = {"ferplus": 5, "posed": len(alone[1].targets), "natural": 20}
    fear = np.eye(8, dtype=np.float32)[6]
    answers: dict[str, Any] = {name: np.tile(fear, (count, 1)) for name, count in counts.items()}
    np.savez(tmp_path / "teacher.npz", **answers)
    pools = face_pools.make_pools(tmp_path, ferplus, LANDMARKS, tmp_path / "teacher.npz")
    assert sum(each.share for each in pools) == pytest.approx(1)
    assert len(pools[2].targets) == (~faces.held_out()).sum()
    np.testing.assert_allclose(pools[2].targets[0], fear)
    np.testing.assert_allclose(pools[0].targets[0], (ferplus.targets[0] + fear) / 2, atol=1e-6)


def test_without_posed_faces_ferplus_is_learned_from_alone(tmp_path: Path) -> None:
    ferplus = Examples(pictures(2), face_pools.one_label(np.zeros(2, np.intp)))
    (only,) = face_pools.make_pools(tmp_path, ferplus, LANDMARKS, None)
    assert only.share == 1


# --- measuring -----------------------------------------------------------------------------------------------


def test_posed_figures_by_hand() -> None:
    labels = np.array([4, 4, 5, 3, 6, 6])
    predicted = np.array([4, 0, 5, 3, 6, 6])
    some = posed.Posed(pictures(6), labels, ("a", "a", "b", "b", "c", "c"))
    figures = measure_posed.measure(some, predicted, wider={"10% wider": 0.5}, name="by hand")
    assert figures.accuracy == pytest.approx(5 / 6)
    assert (figures.people, figures.pictures) == (3, 6)
    assert figures.recalls["anger"].recall == 0.5
    assert figures.alarming == figures.least == 0.5
    assert figures.recalls["anger"].interval == (0.5, 0.5)  # both are of one person
    low, high = figures.interval
    assert (low, high) == (0.5, 1)
    assert "anger" in measure_posed.table(figures)[4]


def test_an_expression_that_alerts_are_about_and_the_set_lacks_counts_as_missed() -> None:
    some = posed.Posed(pictures(1), np.array([4]), ("a",))
    assert measure_posed.measure(some, np.array([4]), wider={}, name="x").alarming == 0


def test_wider_views_show_the_crop_smaller() -> None:
    crop = np.zeros((1, 48, 48), np.uint8)
    crop[:, 12:36, 12:36] = 255
    (view,) = measure_posed.wider(crop, 1.2)
    assert (view > 127).sum() == pytest.approx((24 / 1.2) ** 2, rel=0.1)


def test_agreement_is_counted_where_the_committee_says_so() -> None:
    taught = np.eye(8, dtype=np.float32)[[0, 0, 4, 4]]
    figures = measure_natural.measure(np.array([0, 4, 4, 0]), taught)
    assert figures.agreement == 0.5
    assert figures.by_answer == {"neutral": (0.5, 2), "anger": (0.5, 2)}
    assert (figures.neutral, figures.neutral_teacher) == (0.5, 0.5)
    assert "no accuracy" in measure_natural.table(figures)[0]


def test_natural_faces_are_balanced_and_of_people_kept_from_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_natural, "MOST", 3)
    faces = natural.read_natural(write_natural(tmp_path / "natural.npz", people=200))
    rows = measure_natural.balanced(faces)
    assert faces.held_out()[rows].all()
    assert np.bincount(faces.guesses[rows], minlength=8).tolist() == [3] * 8
    assert not measure_natural.available(tmp_path)  # nobody has been asked about them
    assert rows.tolist() == measure_natural.balanced(faces).tolist()


def test_a_published_model_is_measured_on_posed_faces(tmp_path: Path) -> None:
    write_posed(tmp_path / "ckplus48.zip", people=8)
    assert measure_posed.available(tmp_path)
    assert not measure_posed.available(tmp_path / "elsewhere")
    model = daemon_stages.open_model(MODELS / "expression.tflite", "expression")
    figures = measure_posed.run(model, tmp_path)
    assert figures.wider.keys() == {"10% wider", "20% wider"}
    assert figures.recalls.keys() == set(LABELS[1:])
