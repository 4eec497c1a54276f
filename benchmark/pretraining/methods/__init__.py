"""Ways to train an encoder, a file for each: what a training needs, what it does in a step, and what it leaves."""
