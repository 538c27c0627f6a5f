"""Ranks: communicator, device binding, coordinator, broadcast, signals, abort guard."""
