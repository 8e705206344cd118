"""Train, quantize, measure and publish the four models of fer-edge.

Read in this order:

data/           the labelled sets (sets.py), and which picture is on which side; training pictures made of them
tasks/          what is specific to a role (task.py): the networks, with the shape after every step, and for each role
                data, targets and loss
train/          one loop; stopped at any moment, it continues after its last whole epoch; weights between networks
teachers/       networks of others, from which the expression network learns; none of their weights is shipped
convert/        float and full-int8 TFLite files, and which layer loses most
evaluate/       one protocol for both files; by size, light, blur, pose and group; the whole path end to end
publish/        the gates, and the only road into models/
cost/           what each kind of layer costs, and should take on a Pi
files/          cards, TFLite files, runs and arrays, read and written
metrics.py      the arithmetic
daemon_stages.py  the daemon's own code, on pictures

    python -m quantize.train expression --data data --out runs/expression
    python -m quantize.convert expression --data data --run runs/expression
    python -m quantize.publish expression --data data --run runs/expression
    python -m quantize.evaluate expression --data data --model models/expression.tflite

`data` is a folder with the sets that data/sets.py names. Reading, measuring and publishing need NumPy, OpenCV and a
TFLite runtime only; Keras and TensorFlow are imported where networks are trained or converted. docs/models.md explains
how the published models were made."""
