"""Made-up sets in the form of the shared ones: noise, bright squares for faces, dots for landmarks."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fer_edge.records import LABELS
from quantize.data import sets
from tests.support.ferplus_samples import ferplus, pictures, votes
from tests.support.paths import ROOT

POINTS = [f"{axis}{index}" for index in range(68) for axis in "xy"]
UNLABELLED = ("5_0_0_2017.png", "25_1_0_2017.png", "30_1_2_2017.png", "70_1_0_2017.png")
Box = tuple[float, float, float, float]


def png(image: sets.Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "\n".join(",".join(map(str, row)) for row in (columns, *rows)) + "\n"


def write_zip(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# --- FER+ ----------------------------------------------------------------------------------------------------


def made_up_ferplus(*, train: int, test: int) -> sets.FerPlus:
    """Noise; every row has a clear expression, and each of the eight comes in turn."""
    some = ferplus(train=pictures(train), test=pictures(test, seed=1))
    names = [LABELS[row % 8] for row in range(train + test)]
    return sets.FerPlus(some.images, some.split, np.concatenate([votes(**{name: 10}) for name in names]))


def write_npz(path: Path, some: sets.FerPlus) -> Path:
    np.savez(path, images=some.images, split=some.split, ferplus_votes=some.votes)
    return path


def write_mosaics(folder: Path, some: sets.FerPlus) -> None:
    """The form in which the set is shared: mosaics of 20 x 20 faces, the last one padded."""
    np.savez(folder / "ferplus_labels.npz", split=some.split, ferplus_votes=some.votes)
    count = -(-len(some.images) // 400)
    padded = np.resize(some.images, (400 * count, 48, 48)).reshape(count, 20, 20, 48, 48)
    mosaics = {f"{number}.png": png(each.transpose(0, 2, 1, 3).reshape(960, 960)) for number, each in enumerate(padded)}
    write_zip(folder / "ferplus_images.zip", mosaics)


# --- posed and natural faces ---------------------------------------------------------------------------------


def write_posed(path: Path, *, people: int, image: sets.Image | None = None) -> Path:
    """Noise, or the same face always; everybody shows every expression but neutral."""
    faces = pictures(people * 7, seed=8)
    rows = [(f"{row}.png", f"S{row // 7:03}", LABELS[1 + row % 7]) for row in range(people * 7)]
    files: dict[str, bytes | str] = {
        f"faces/{name}": png(faces[row] if image is None else image) for row, (name, *_) in enumerate(rows)
    }
    return write_zip(path, files | {"labels.csv": table(("file", "person", "expression"), rows)})


def write_natural(path: Path, *, people: int) -> Path:
    """Two pictures of everybody, with the guesses in turn."""
    names = [f"Some_Body{row // 2}_{row % 2:04}.jpg" for row in range(2 * people)]
    canvases = np.random.default_rng(9).integers(0, 256, (len(names), 64, 64), dtype=np.uint8)
    np.savez(path, canvases=canvases, guesses=np.arange(len(names)) % 8, names=np.array(names))
    return path


# --- photos --------------------------------------------------------------------------------------------------


def squares(boxes: Sequence[Box], *, size: tuple[int, int] = (96, 64)) -> sets.Image:
    """White squares on black, u8[height,width] of size (width, height)."""
    image = np.zeros(size[::-1], np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[round(y0) : round(y1), round(x0) : round(x1)] = 255
    return image


def write_crowd(path: Path, photos: Mapping[str, tuple[sets.Image, Sequence[tuple[Box, str]]]]) -> Path:
    """Photos by name, each with its boxes and their covers."""
    rows = [(name, *box, cover) for name, (_, boxes) in photos.items() for box, cover in boxes]
    files: dict[str, bytes | str] = {name: png(image) for name, (image, _) in photos.items()}
    columns = ("image", *sets.BOX, "covered")
    return write_zip(path, files | {"boxes.csv": table(columns, rows)})


def made_up_crowd(count: int, *, seed: int = 2) -> dict[str, tuple[sets.Image, list[tuple[Box, str]]]]:
    """Noise with a bright square in each photo."""
    rng = np.random.default_rng(seed)
    photos = {}
    for number in range(count):
        x, y = (float(each) for each in rng.integers(10, 100, 2))
        image = rng.integers(0, 90, (200, 260), dtype=np.uint8)
        image[int(y) : int(y) + 60, int(x) : int(x) + 50] = 200
        photos[f"images/{number}.png"] = (image, [((x, y, x + 50, y + 60), "sin_mascarilla")])
    return photos


def write_photos(folder: Path, *, count: int) -> None:
    """Photos with pseudo-boxes, and photos without faces."""
    crowd = made_up_crowd(count, seed=3)
    files = {f"people/{Path(name).name}": png(image) for name, (image, _) in crowd.items()}
    rows = []
    for name, (_, ((box, _),)) in crowd.items():
        x0, y0, x1, y1 = box
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        rows.append((Path(name).name, *box, *(5 * middle), 0.9))
    write_zip(folder / "people.zip", files)
    (folder / "faces.csv").write_text(table(("image", *sets.BOX, *sets.PERSONS_RIGHT_FIRST, "score"), rows))
    noise = np.random.default_rng(4).integers(0, 256, (count, 90, 120), dtype=np.uint8)
    for name in ("scenes", "hardneg"):
        write_zip(folder / f"{name}.zip", {f"{name}/{number}.png": png(each) for number, each in enumerate(noise)})


def write_varied(folder: Path, *, count: int) -> None:
    """Photos in folds, and photos without faces."""
    crowd = made_up_crowd(count, seed=5)
    files = {f"people/{Path(name).name}": png(image) for name, (image, _) in crowd.items()}
    rows = []
    for number, (name, (_, ((box, _),))) in enumerate(crowd.items()):
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        rows.append((f"people/{Path(name).name}", *box, *(5 * middle), 0.9, number % 10))
    noise = np.random.default_rng(8).integers(0, 256, (count, 90, 120), dtype=np.uint8)
    empty = {f"scenes/{number}.png": png(each) for number, each in enumerate(noise)}
    write_zip(folder / "people_and_scenes.zip", files | empty)
    faces = table(("photo", *sets.BOX, *sets.PERSONS_RIGHT_FIRST, "score", "fold"), rows)
    write_zip(
        folder / "labels.zip", {"faces.csv": faces, "negatives.csv": table(("photo",), [(name,) for name in empty])}
    )


# --- stills --------------------------------------------------------------------------------------------------


def made_up_points(rng: np.random.Generator) -> sets.Floats:
    """Sixty-eight points whose outer eye corners are 36 px apart."""
    points = rng.uniform((70, 60), (130, 150), (68, 2))
    points[36], points[45] = (82, 90), (118, 90)
    return points.astype(np.float32)


def write_stills(path: Path, *, people: int, each: int = 2) -> Path:
    rng = np.random.default_rng(6)
    files: dict[str, bytes | str] = {}
    rows = []
    for number in range(people * each):
        name = f"images/Some_Body{number // each}_{number % each}.png"
        points = made_up_points(rng)
        image = rng.integers(0, 120, (200, 200), dtype=np.uint8)
        for x, y in points:
            image[int(y), int(x)] = 255
        files[name] = png(image)
        rows.append((name, *(round(float(value), 2) for value in points.reshape(-1))))
    return write_zip(path, files | {"points68.csv": table(("image", *POINTS), rows)})


# --- faces labelled by a mesh --------------------------------------------------------------------------------


def write_mesh(path: Path, *, people: int) -> None:
    """Noise, each with points of no face, turned by up to 60 degrees; every fourth is a profile."""
    rng = np.random.default_rng(8)
    points = rng.uniform((50, 40), (110, 120), (people, 68, 2)).astype(np.float32)
    points[:, 36:42], points[:, 42:48], points[:, 48:] = (65, 60), (95, 60), (80, 100)
    yaw = np.resize(np.array([5, -40, 20, 80], np.float32), people)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        names=np.array([f"Some_Body{number}_0" for number in range(people)]),
        groups=np.array([f"Some_Body{number}" for number in range(people)]),
        crops=rng.integers(0, 256, (people, 160, 160), dtype=np.uint8),
        points=points,
        poses=np.stack([np.where(yaw < 80, yaw, 0), np.zeros(people), np.zeros(people)], axis=1).astype(np.float32),
        blendshapes=rng.uniform(0, 1, (people, 52)).astype(np.float16),
        presence=np.full(people, 12.0),
        five_yaw=yaw.astype(np.float64),
        height_px=np.full(people, 90.0),
        five=np.tile(np.array([[65, 60], [95, 60], [80, 80], [70, 100], [90, 100]], np.float32), (people, 1, 1)),
        boxes=np.tile(np.array([[45, 30], [115, 125]], np.float32), (people, 1, 1)),
    )


# --- varied photos -------------------------------------------------------------------------------------------


def write_portraits(folder: Path, *, count: int) -> None:
    """Two portraits of the demo again and again, each with a box around its middle; they stand for the face-free
    pictures too, so that a detector finds something in these."""
    portraits = sorted((ROOT / "fer_edge" / "camera" / "pictures").glob("*.jpg"))
    gray = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in portraits]
    files: dict[str, bytes | str] = {}
    faces = []
    for number in range(count):
        image = gray[number % len(gray)]
        height, width = image.shape
        files |= {f"people/{number}.png": png(image), f"scenes/{number}.png": png(image)}
        box = (0.3 * width, 0.2 * height, 0.7 * width, 0.8 * height)
        faces.append((f"people/{number}.png", number % 10, *box, 0.9, *([""] * 10), "pos"))
    points = [f"{part}_{axis}" for part in ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l") for axis in "xy"]
    labels = {
        "faces.csv": table(("photo", "fold", *sets.BOX, "score", *points, "use"), faces),
        "negatives.csv": table(("photo",), [(f"scenes/{number}.png",) for number in range(count)]),
    }
    write_zip(folder / "labels.zip", labels)
    write_zip(folder / "people_and_scenes.zip", files)


# --- everything ----------------------------------------------------------------------------------------------


def write_everything(folder: Path) -> Path:
    """A folder with all sets that training and measuring need, as small as they can be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_mosaics(folder, made_up_ferplus(train=160, test=24))
    write_crowd(folder / "crowd_faces.zip", made_up_crowd(9))
    write_stills(folder / "landmarks68.zip", people=12)
    write_photos(folder / "photos", count=12)
    write_mesh(folder / "mesh" / "stills.npz", people=80)
    write_portraits(folder / "photos2", count=20)
    write_posed(folder / "ckplus48.zip", people=8)
    for kind in ("with_mask", "without_mask"):
        (folder / "masks" / kind).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures(24)):
            (folder / "masks" / kind / f"{number}.png").write_bytes(png(picture))
    write_zip(folder / "faces_unlabelled.zip", dict.fromkeys(UNLABELLED, png(pictures(1)[0].repeat(4, 0).repeat(4, 1))))
    return folder
