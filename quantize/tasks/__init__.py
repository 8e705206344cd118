"""Each network's training task: data, targets, loss."""
