"""`genllava chat`: the loop, its commands, what is shown, and pictures in a terminal."""
