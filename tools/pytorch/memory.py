"""memory.py: the peak of the memory that PyTorch holds on a device beyond what it held at a mark.

On a CPU the process's resident pages but those of files (code that comes in with the first step): free ones are given back and
Linux' high-water mark (VmHWM of proc(5), reset through clear_refs) is lowered first, so that neither the interpreter nor an
earlier peak counts.
"""
import ctypes

import torch


def _resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))


class Mark:
    def __init__(self, device):
        self.device = device
        self.before = self._now()

    def _now(self):
        if self.device.type != "cpu":
            return getattr(torch, self.device.type).memory_allocated()
        ctypes.CDLL(None).malloc_trim(0)
        return _resident("VmRSS") - _resident("RssFile")

    def forget_peak(self):
        """The peak counts from here."""
        if self.device.type != "cpu":
            return getattr(torch, self.device.type).reset_peak_memory_stats()
        self._now()
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")

    def beyond(self):
        if self.device.type != "cpu":
            return getattr(torch, self.device.type).max_memory_allocated() - self.before
        return _resident("VmHWM") - _resident("RssFile") - self.before
