"""Pictures for people: boxes, landmarks and labels drawn on a frame."""
