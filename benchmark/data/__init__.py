"""The user's data: what is there and what is wrong with it, and how it is downloaded, unpacked and verified."""
