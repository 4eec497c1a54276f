"""Looking at one representation, and listening to it: what `bench look` shows, from what the store holds."""
