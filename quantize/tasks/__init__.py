"""What each network learns: data, targets, loss."""
