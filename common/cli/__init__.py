"""The command line: parsing, checks of paths, and the commands of an experiment."""
