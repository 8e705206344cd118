"""Train, quantize, measure and publish the three models of fer-edge.

Read in this order:

data.py         the labelled sets, and which picture is on which side; sets.py knows what they are called
model.py        the three networks, with the shape after every step
task.py         what is special about a role, as train.py, to_int8.py and publish.py see it; the three roles are
  expression.py   FER+ (ferplus.py: what its votes mean)
  detector.py     what each cell should answer (scenes.py: the training scenes)
  landmarks.py    face crops and their 68 points
vary.py         light, blur, noise, low resolution: how training pictures are varied
train.py        one loop; stopped at any moment, it goes on where its last whole epoch ended (start.py: pruning;
                reopen.py: weights out of a published file)
to_int8.py      float and full-int8 TFLite files (layer_report.py: which layer loses most; graph.py reads the files)
evaluate.py     one protocol for both files (metrics.py: the arithmetic; stages.py: the daemon's own code on pictures)
  measure_expression.py, measure_detector.py, measure_landmarks.py (roles.py: the three behind one interface)
  conditions.py   small, dark, blurred, turned; groups.py: by age, gender and race; end_to_end.py: the whole path
  plots.py        the same as pictures
publish.py      the gates (gates.py), and the only road into models/ (cards.py, prose.py: what a card says)
cost.py         what each kind of layer costs, and should take on a Pi (published.py: how far off that is)
geometry.py     the two shapes that the daemon has built in

    python -m quantize.train expression --data data --out runs/expression
    python -m quantize.to_int8 expression --data data --run runs/expression
    python -m quantize.publish expression --data data --run runs/expression
    python -m quantize.evaluate expression --data data --model models/expression.tflite

`data` is a folder with the sets that data.py names. Reading, measuring and publishing need NumPy, OpenCV and a TFLite
runtime only; Keras and TensorFlow are imported where networks are trained or converted. docs/models.md tells how the
published models were made.
"""
