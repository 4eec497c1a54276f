"""What a plan will take: bytes, time on this device, and an encoder's resources."""
