"""What is fed: a module for each kind of decoder."""
