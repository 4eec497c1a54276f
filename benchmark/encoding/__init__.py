"""Windows of waveforms through a frozen encoder: weights found, cut, batched, and kept."""
