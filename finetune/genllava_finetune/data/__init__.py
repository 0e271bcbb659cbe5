"""Data for training: one row format, converters of public data sets into it, and what is done with the result."""
