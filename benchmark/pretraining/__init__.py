"""Training encoders: crops and views on the device, methods and their losses, and the one loop around them."""
