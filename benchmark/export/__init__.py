"""Trained encoders as folders that other projects load without bench."""
