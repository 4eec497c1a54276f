"""What is plugged in: entries of YAML files, their numbers, and the classes and datasets that they name."""
