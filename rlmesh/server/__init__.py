"""The serving side: one environment behind an address."""
