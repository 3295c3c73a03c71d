"""What a precision loses against a reference."""
