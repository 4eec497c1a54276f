"""The commands of `bench speed`: each of the program's costs, measured beside a reference in one run."""
