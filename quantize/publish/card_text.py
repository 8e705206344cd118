"""The cards' text for people, role by role: data and its terms, protocol, use, misuse, limits."""

from __future__ import annotations

_WEIGHTS_ONLY = "No picture is shipped; the weights were trained from scratch by this project."
_PHOTO_TERMS = (
    "crowd_faces: published as CC0. FER2013 pictures: published for research. The other photos: from public "
    "repositories of web, press and estate-agent pictures with unclear rights; used for private training only, not "
    "redistributed."
)
_NOT_FOR = (
    "Not for decisions about people: hiring, policing, medicine, education, credit, insurance. Not for identifying "
    "anybody. Not for observing people who have not been informed."
)

PROSE: dict[str, dict[str, str]] = {
    "expression": {
        "data": (
            "FER2013 pictures with FER+ labels: the Training split without copies of test pictures, and without a "
            "twentieth that is kept for selection and calibration. CK+ (posed faces, one label each): two thirds of "
            "the people. Natural faces of muxspace/facial_expressions (press photos, films): three quarters of the "
            "people."
        ),
        "terms": (
            "FER+ labels: MIT (Microsoft). FER2013 pictures and CK+: published for research. muxspace/"
            "facial_expressions: no terms stated; used for private training only. No picture is shipped; the weights "
            "were trained by this project, starting from nobody else's. The targets of the natural faces come from our "
            "networks, the set's labels (a student's guesses) and the expression network of @vladmandic/face-api (MIT)."
        ),
        "protocol": (
            "Single votes are dropped. Targets are the vote shares on Training and the outputs of earlier networks of "
            "ours for the same pictures. Some views are cropped as the daemon crops them. The temperature is fitted on "
            "the twentieth. Measured on PublicTest, on the rows where one of the eight expressions has more than half "
            "of the votes, and on posed faces of people kept from training, none of them neutral; intervals by "
            "bootstrap (over people, for posed faces). The weights are interpolated between the model before and the "
            "mean of two runs that continued from it; the factor was chosen on the twentieth. PublicTest and the posed "
            "faces had been read for a factor of one half, too, before 0.8 was taken, the posed faces for both runs as "
            "well: take the figures as slightly optimistic."
        ),
        "intended_use": (
            "Distinguish eight facial expressions, as people label them, on aligned gray face crops, for live display, "
            "counting, and alerts that a person checks."
        ),
        "misuse": f"{_NOT_FOR} Not for judging whether somebody lies, suffers, agrees or means well.",
        "limits": (
            "An expression is what a face does at a moment. It is not a feeling, a mood, an intention or a trait: "
            "people smile without joy and feel without showing it, and how feelings are shown differs between people "
            "and cultures. The labels are the votes of ten annotators about a 48-px picture; they disagree often, and "
            "only pictures on which most agree are measured. FER2013 is a web collection of posed and spontaneous "
            "pictures; groups, ages and lighting are unevenly covered, and expression accuracy by group could not be "
            "measured, because no set with both kinds of label was at hand. Disgust, fear and contempt are rare in the "
            "set and recognised least well (see per_class). Neutral is what the model answers when in doubt: of faces "
            "with another label that it gets wrong, most are called neutral, above all slight sadness, anger and "
            "contempt; neutral therefore means that no expression was recognised, not that there was none. The posed "
            "training faces include no neutral one, and their people were filmed in one room: on 68 posed faces of ten "
            "Japanese women, from another set, it is no better than the model before (0.46 right of seven expressions; "
            "anger and disgust none, fear one of ten)."
        ),
    },
    "detector": {
        "data": (
            "Natural photos of people: two thirds of crowd_faces, with boxes that people drew; the others, eight folds "
            "of photos2 among them, photos posted on Twitter (MVSA) and of public-sector web sites, and faces with and "
            "without masks (Face-Mask-Detection), with boxes on which two other detectors agree. Stills from video, "
            "FER2013 faces pasted into face-free scenes, and pictures without faces, above all the false positives of "
            "an earlier state of this model there. Some of the faces get a painted mask. YuNet_n (MIT) is the teacher "
            "for every location of every scene; where it and the boxes differ, the boxes count."
        ),
        "terms": f"Stills: from YouTube Faces, repository MIT. {_PHOTO_TERMS} {_WEIGHTS_ONLY}",
        "protocol": (
            "Average precision at IoU 0.5, all-point, over faces of at least 8 % of the picture's short side (smaller "
            "ones ignored), on the third of crowd_faces kept from training; recall and false positives per photo at "
            "the daemon's default threshold, the detector alone; through the daemon's own code. The same on two folds "
            "of photos2 (varied_), alone and in the whole daemon as it analyses still pictures (daemon_); their boxes "
            "are those of two other detectors. One of these folds served for selection, and both were read several "
            "times: take the figures as slightly optimistic. Of the pictures without faces, the landmarks model had "
            "learned 70 of 85: daemon_fp_per_empty_image is too good. masked, bare: a sixth of Face-Mask-Detection, "
            "pictures of one face: the share in which one is found."
        ),
        "intended_use": "Find the faces that look towards a camera a few metres away, so that they can be followed.",
        "misuse": f"{_NOT_FOR} Not as proof that nobody was there.",
        "limits": (
            "It misses faces in profile, from behind, strongly tilted, hidden or smaller than about 8 % of the "
            "picture's short side, and more of them in the dark. It detects drawn and printed faces, too. "
            "Groups and ages are unevenly covered: see groups. Its teachers miss some masked, covered, "
            "upside-down and back-lit faces, so figures on photos that they labelled say nothing about these."
        ),
    },
    "landmarks": {
        "data": (
            "landmarks68: 3,499 natural video stills of 287 people, without the fifth of the people kept for "
            "measuring. Faces with a box only (crowd_faces without its kept third, photos of people, FER2013 pasted "
            "into face-free scenes) teach presence, together with a detector's false positives in pictures without "
            "faces and beside the faces of people. The pose, and the inner points of turned faces, are "
            "learned from a mesh (MediaPipe's Face Landmarker) on these stills, on photos of people (varied ones "
            "without folds 0 and 1, sports) and on 13,683 pictures of LFW people and films (without a fifth of the "
            "people); where the mesh and a detector's five points disagree, a face is left out, and of whole profiles "
            "only the yaw by these five points is learned."
        ),
        "terms": f"landmarks68: repository MIT, stills from YouTube Faces. The others: {_PHOTO_TERMS} {_WEIGHTS_ONLY}",
        "protocol": (
            "Mean distance of the points from the labelled ones, divided by the distance of the outer eye corners, on "
            "people kept from training, in an upright square crop around the labelled points; through the daemon's own"
            " code. These people also served to choose between variants. Pose: mean error of yaw, pitch and roll "
            "against the mesh, on people and photos kept from training, in the crop around a detector's box, which is "
            "the daemon's first for a face; `sign`: of yaws of 15 degrees and more. 908 of the 13,683 pictures are of "
            "films and were split picture by picture: some of their actors were learned. Of the 66 pictures without "
            "faces behind `presence`, the detector had learned 51. Both make figures slightly optimistic."
        ),
        "intended_use": "Place 68 points on a detected face, to align it, estimate its pose, and draw it.",
        "misuse": f"{_NOT_FOR} Not for measuring faces: the points are means of what a machine labelled.",
        "limits": (
            "The labels look machine-made and are loose on strong poses; the model cannot be better than they are. "
            "They lie about 0.95 % of the face's side too far right, and so do the model's points. Points that are "
            "hidden, by a mask for instance, are guessed. Errors grow with the turn of the head: see conditions. The "
            "pose copies a network's, not a measuring device's: beyond 60 degrees of yaw it gives little more than the "
            "side, and that the face is turned too far to be classified."
        ),
    },
    "intensity": {
        "data": (
            "Faces of people in video stills (landmarks68), varied and sports photos, and pictures of LFW people and "
            "films, and stills of drivers who yawn (YawDD), turned by up to 40 degrees, with the blendshapes of "
            "MediaPipe's Face Landmarker, left and right averaged except for the eyes; closed eyes corrected where a "
            "person has read them from the pictures (some 400 faces); without a fifth of the people, two folds of "
            "the varied photos and the later two fifths of YawDD's stills."
        ),
        "terms": (
            "Stills: from YouTube Faces, repository MIT; YawDD: published for research. The other photos: "
            f"{_PHOTO_TERMS} {_WEIGHTS_ONLY}"
        ),
        "protocol": (
            "Correlation with the teacher, and for closed eyes (0.5 and more by the teacher) the area under the ROC "
            "curve, on people and photos kept from training, turned by up to 30 degrees, of 48 px and more in their "
            "pictures and reduced to 48 px here; placed and aligned by the landmarks model, through the daemon's own "
            "code. The teacher's own values on the same reduced faces correlate by 0.8 to 0.98 with those on the "
            "large ones. An output below 0.75 (0.90 for closed eyes' area) is withheld."
        ),
        "intended_use": "Follow movements of a face over time: a smile, a raised brow, an open jaw, a closed eye.",
        "misuse": f"{_NOT_FOR} Not for judging whether somebody lies, suffers, is tired, drunk, agrees or means well.",
        "limits": (
            "It copies a network, not human coders: no value is an action unit that a person has seen, and the "
            "teacher's own faults (a raised brow under a fringe, eyes behind glasses, looking down that looks like "
            "closed eyes) are learned with the rest. Changes in one face mean more than differences between people. "
            "Hardly anything is known about turned faces beyond 30 degrees and about faces below 32 px."
        ),
    },
}
