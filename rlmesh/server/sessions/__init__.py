"""server/sessions."""
