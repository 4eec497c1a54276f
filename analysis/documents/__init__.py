"""Types of the documents that the commands of `analysis` return, print and write."""
