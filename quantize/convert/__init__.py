"""`python -m quantize.convert`: from a trained run to float and int8 TFLite files."""
