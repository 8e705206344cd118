"""Whether a face is good enough to be classified, and if not, why."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.config import Quality as QualityConfig
from fer_edge.records import Image, Landmarks, Pose, Quality, Reason

Real = NDArray[np.float32]


def assess(crop: Image, landmarks: Landmarks, config: QualityConfig) -> Quality:
    """Measure a face and compare it with the configured limits.

    Args:
        crop: the aligned face u8[S,S].
        landmarks: its landmarks.
        config: the limits.

    """
    return _judged(landmarks, blur(crop), cv2.sumElems(crop)[0] / crop.size / 255, config)


def reassess(before: Quality, landmarks: Landmarks, config: QualityConfig) -> Quality:
    """The same without a crop, for a face not classified in this frame: blur and brightness are the previous ones."""
    return _judged(landmarks, before.blur, before.brightness, config)


def _judged(landmarks: Landmarks, lost: float, brightness: float, config: QualityConfig) -> Quality:
    pose = landmarks.pose
    top, bottom, _, _ = cv2.minMaxLoc(landmarks.points[:, 1])
    measured = Quality(pose.yaw_deg, float(np.float32(bottom - top)), lost, brightness, None)
    reason = reason_of(measured, pose, config)
    return replace(measured, reason=reason) if reason else measured


def turned(pose: Pose, config: QualityConfig) -> bool:
    """Whether a face is turned too far to be classified, or its pose is too uncertain: in profile, behind a hand."""
    beyond = abs(pose.yaw_deg) > config.max_yaw_deg or abs(pose.pitch_deg) > config.max_pitch_deg
    return beyond or (pose.error_deg is not None and pose.error_deg > config.max_pose_error_deg)


def reason_of(measured: Quality, pose: Pose, config: QualityConfig) -> Reason | None:
    """The first limit that a face's measures exceed."""
    checks = (
        (Reason.TOO_SMALL, measured.height_px < config.min_height_px),
        (Reason.TURNED, turned(pose, config)),
        (Reason.DARK, measured.brightness < config.min_brightness),
        (Reason.BRIGHT, measured.brightness > config.max_brightness),
        (Reason.BLURRED, measured.blur > config.max_blur),
    )
    return next((reason for reason, holds in checks if holds), None)


def blur(crop: Image) -> float:
    """How much of a picture's detail is already gone, 0 (sharp) to 1: blurring a sharp picture again takes most
    of its variation between neighbours away, blurring a blurred one hardly any (Crete et al. 2007, SPIE 6492).

    Args:
        crop: u8[S,S].

    """
    picture = crop.astype(np.float32)
    across, down = (np.asarray(cv2.blur(picture, size), np.float32) for size in ((9, 1), (1, 9)))
    return max(
        _lost_variation(picture[:, 1:], picture[:, :-1], across[:, 1:], across[:, :-1]),
        _lost_variation(picture[1:], picture[:-1], down[1:], down[:-1]),
    )


def _lost_variation(picture: Real, neighbours: Real, soft: Real, soft_neighbours: Real) -> float:
    """The share of the variation that is left, by what blurring once more takes away where it takes any."""
    before, after = cv2.absdiff(picture, neighbours), cv2.absdiff(soft, soft_neighbours)
    total = cv2.norm(before, cv2.NORM_L1)
    lost = (cv2.norm(before, after, cv2.NORM_L1) + total - cv2.norm(after, cv2.NORM_L1)) / 2
    return 1 - lost / total if total > 0 else 1.0
