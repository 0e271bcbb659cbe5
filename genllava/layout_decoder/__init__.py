"""A small image decoder that draws what is in each cell of a grid of three by three: a layout, given in words.

It is made for small models, such as that of the recipe `things`. Its pipeline is used like any of diffusers'.
"""
