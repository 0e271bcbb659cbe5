"""What people ask to be drawn, changed or done with a picture, with what is right."""
