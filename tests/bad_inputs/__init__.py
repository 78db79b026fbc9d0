"""The table of bad inputs: what strangers hand to the program and the Python API, and what the answer must say."""
