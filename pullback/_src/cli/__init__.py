"""The command line: a layer above everything else, which nothing imports."""
