"""The driving side: Gymnasium environments whose original lives behind an address."""
