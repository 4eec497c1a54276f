"""Contrastive pretraining: augmentation on the device, the loss, and the training loop."""
