"""Third-party networks that teach the expression network; none of their weights is shipped or initialises our networks.

tfjs.py      weights as TensorFlow.js stores them
faceres.py   a MobileNet that others trained on many faces, fine-tuned here on expressions
face_api.py  a small expression network, used as it is
command.py   `python -m quantize.teachers`: fine-tune, then write down what they say (`quantize.data.teacher`)
"""
