"""Environments in worker processes, whose end is neither their server's nor their neighbours'."""
