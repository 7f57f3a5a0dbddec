"""The renderers: pure functions, model in, text out."""
