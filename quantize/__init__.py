"""Train, quantize, measure and publish the models of fer-edge: read data, model, train, to_int8, evaluate, publish.

data.py      the pictures, what a label means, and how a training picture is varied
model.py     the network, with the shape after every step
train.py     one loop over it; stopped at any moment, it goes on where its last whole epoch ended
to_int8.py   the averaged weights as a float and as a full-int8 TFLite file
evaluate.py  one protocol for both files: accuracy, macro F1, calibration error
publish.py   the gates, and the only road into models/

    python -m quantize.train --data data/ferplus.npz --out runs/expression
    python -m quantize.to_int8 --data data/ferplus.npz --run runs/expression
    python -m quantize.publish expression --data data/ferplus.npz --run runs/expression
    python -m quantize.evaluate expression --data data/ferplus.npz --model models/expression.tflite

data.py and evaluate.py's arithmetic need numpy and OpenCV only; Keras and TensorFlow are imported where they are used.
"""
