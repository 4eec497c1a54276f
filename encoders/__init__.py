"""What maps a waveform window to a representation: architectures, hand-made features, adapters, imports."""


class EncoderError(Exception):
    """An encoder cannot be built or loaded as asked: one line, saying what, where and what to do."""
