"""How long the processor has worked on a training."""

from __future__ import annotations

import time


class ProcessorTime:
    """Knows the processor's time of a module's training [s], without what comes before the first step."""

    worked = 0.0

    def on_train_start(self) -> None:
        """Note when it begins."""
        self.worked = -time.process_time()

    def on_train_end(self) -> None:
        """Note when it has ended."""
        self.worked += time.process_time()
