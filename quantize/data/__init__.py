"""The labelled sets, where they are, and the training pictures made of them."""
