"""What the cards tell people, role by role: data and its terms, protocol, use, misuse, limits."""

from typing import Final

_WEIGHTS_ONLY: Final = "No picture is shipped; the weights were trained from scratch by this project."
_PHOTO_TERMS: Final = (
    "crowd_faces: published as CC0. FER2013 pictures: published for research. The other photos: from public "
    "repositories of web, press and estate-agent pictures with unclear rights; used for private training only, not "
    "redistributed."
)
_NOT_FOR: Final = (
    "Not for decisions about people: hiring, policing, medicine, education, credit, insurance. Not for identifying "
    "anybody. Not for watching people who were not told."
)

PROSE: Final[dict[str, dict[str, str]]] = {
    "expression": {
        "data": (
            "FER2013 pictures with FER+ labels: the Training split without copies of test pictures, and without a "
            "twentieth that is kept for choosing and calibrating."
        ),
        "terms": f"FER+ labels: MIT (Microsoft). FER2013 pictures: published for research. {_WEIGHTS_ONLY}",
        "protocol": (
            "Single votes dropped. Learned from vote shares on Training, and from what a wider network of our own, "
            "trained on the same pictures, makes of them. Temperature fitted on the twentieth. Measured on PublicTest, "
            "on the rows where one of the eight expressions has more than half of the votes; PublicTest "
            "is read for the figures of this card only."
        ),
        "intended_use": (
            "Tell apart eight facial expressions, as people label them, on aligned gray face crops; for live display, "
            "counting, and alerts that a person checks."
        ),
        "misuse": f"{_NOT_FOR} Not for telling whether somebody lies, suffers, agrees or means well.",
        "limits": (
            "An expression is what a face does at a moment. It is not a feeling, a mood, an intention or a trait: "
            "people smile without joy and feel without showing it, and how feelings are shown differs between people "
            "and cultures. The labels are the votes of ten annotators about a 48-px picture; they disagree often, and "
            "only pictures on which most agree are measured. FER2013 is a web collection of posed and spontaneous "
            "pictures; groups, ages and lighting are unevenly covered, and expression accuracy by group could not be "
            "measured, because no set with both kinds of label was at hand. Disgust, fear and contempt are rare in the "
            "set and recognised least well (see per_class)."
        ),
    },
    "detector": {
        "data": (
            "Natural photos of people with pseudo-boxes (two thirds of crowd_faces with boxes drawn by people), "
            "stills from video, FER2013 faces pasted into face-free scenes, and pictures without faces; some of the "
            "faces with a painted mask."
        ),
        "terms": f"Stills: from YouTube Faces, repository MIT. {_PHOTO_TERMS} {_WEIGHTS_ONLY}",
        "protocol": (
            "Average precision at IoU 0.5, all-point, over faces of at least 8 % of the picture's short side (smaller "
            "ones ignored), on the third of crowd_faces kept from training; recall and false positives per photo at "
            "the daemon's default threshold, the detector alone; through the daemon's own code."
        ),
        "intended_use": "Find the faces that look towards a camera a few metres away, so that they can be followed.",
        "misuse": f"{_NOT_FOR} Not as proof that nobody was there.",
        "limits": (
            "It misses faces in profile, from behind, strongly tilted, hidden or smaller than about 8 % of the "
            "picture's short side, and more of them in the dark. It takes some drawn or printed faces for faces. Most "
            "photos of people that it learned from show sports; groups and ages are unevenly covered: see groups."
        ),
    },
    "landmarks": {
        "data": (
            "landmarks68: 3,499 natural video stills of 287 people, without the fifth of the people kept for "
            "measuring. Faces of whom only a box is known (crowd_faces without its kept third, photos of people, "
            "FER2013 pasted into face-free scenes) teach presence, together with crops of pictures without faces."
        ),
        "terms": f"landmarks68: repository MIT, stills from YouTube Faces. The others: {_PHOTO_TERMS} {_WEIGHTS_ONLY}",
        "protocol": (
            "Mean distance of the points from the labelled ones, divided by the distance of the outer eye corners, on "
            "people kept from training, in an upright square crop around the labelled points; through the daemon's own "
            "code. These people also served to choose between variants."
        ),
        "intended_use": "Place 68 points on a face that was found, to level it, tell its pose, and draw it.",
        "misuse": f"{_NOT_FOR} Not for measuring faces: the points are means of what a machine labelled.",
        "limits": (
            "The labels look machine-made and are loose on strong poses; the model cannot be better than they are. "
            "They lie about 0.95 % of the face's side too far right, and so do the model's points. Points that are "
            "hidden, by a mask for instance, are guessed. Errors grow with the turn of the head: see conditions."
        ),
    },
}
