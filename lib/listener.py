"""The door to a trained machine: `from lib.listener import Listener`."""

from lib.listening.listener import Listener

__all__ = ["Listener"]
