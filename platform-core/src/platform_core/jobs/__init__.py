"""The queue and its runner: at-least-once work that survives being killed at any moment."""
