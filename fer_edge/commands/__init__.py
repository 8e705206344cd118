"""The commands of the command line, one module or package each."""
