"""Is this face good enough to judge? If not: why."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fer_edge.config import Quality as QualityConfig
from fer_edge.records import Image, Landmarks, Pose, Quality, Reason


def assess(crop: Image, landmarks: Landmarks, config: QualityConfig) -> Quality:
    """Measure a face and hold it against the configured limits.

    Args:
        crop: the aligned face u8[S,S].
        landmarks: its landmarks.
        config: the limits.

    """
    points, pose = landmarks.points, landmarks.pose
    height_px = float(points[:, 1].max() - points[:, 1].min())
    measured = Quality(pose.yaw_deg, height_px, blur(crop), float(crop.mean()) / 255, None)
    return replace(measured, reason=reason_of(measured, pose, config))


def turned(pose: Pose, config: QualityConfig) -> bool:
    """Whether a face looks too far away to be judged, or in a way that nobody can tell: in profile, behind a hand."""
    beyond = abs(pose.yaw_deg) > config.max_yaw_deg or abs(pose.pitch_deg) > config.max_pitch_deg
    return beyond or (pose.error_deg is not None and pose.error_deg > config.max_pose_error_deg)


def reason_of(measured: Quality, pose: Pose, config: QualityConfig) -> Reason | None:
    """The first limit that a face's measures are beyond."""
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
    return max(_blur_along(picture), _blur_along(picture.T.copy()))


def _blur_along(picture: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
    soft = cv2.blur(picture, (9, 1))
    before = cv2.absdiff(picture[:, 1:], picture[:, :-1])
    after = cv2.absdiff(soft[:, 1:], soft[:, :-1])
    lost = np.maximum(before - after, 0).sum()
    total = float(before.sum())
    return 1 - float(lost) / total if total > 0 else 1.0
