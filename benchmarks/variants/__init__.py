"""The ways of training many adapters that are measured against each other, one file per library."""
