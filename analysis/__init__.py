"""From a long table of scores to statistics, figures and findings. Knows nothing of the harness."""
