"""What is known about things."""
