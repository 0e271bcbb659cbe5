"""A small image decoder that draws what is in each cell of a grid of three by three: a layout, given in words.

It is what the shipped model draws with. Its pipeline is used like any of diffusers'.
"""
