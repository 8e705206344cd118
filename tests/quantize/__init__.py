"""The toolkit that makes the models."""
