"""An encoder in training that waits, at no cost, until a test has done to it what it does: no race with a clock."""

import time
from pathlib import Path

from encoders.tune import TUNe

#: What lets it go on; made by tests beside their copy of this file.
GO = Path(__file__).with_name("go")


class DawdlingEncoder(TUNe):
    """A small TUNe that takes 0.3 s longer for a batch in training, as long as there is no file `go`."""

    def __init__(self) -> None:
        super().__init__(filters=2, contractive=2, expansive=2, tail=4, dim=16, window=6561)

    def represent(self, waveform, layers=()):
        if self.training and not GO.exists():
            time.sleep(0.3)
        return super().represent(waveform, layers)
