"""The notice that informs people of the camera: an A4 page in several languages, as HTML or PDF."""
