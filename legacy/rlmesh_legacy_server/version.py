"""The version of this package: that of the RLMesh whose schema it speaks."""

__version__ = "0.1.0"
