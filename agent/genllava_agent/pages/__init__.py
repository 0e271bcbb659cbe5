"""What people look at: family trees of pictures, a page about a turn, and what notebooks show."""
