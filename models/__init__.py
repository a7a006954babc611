"""The mathematics of normalizing flows: bijections, base distributions and the zoo that names them.

Needs torch only; knows no files, no HTTP and no training.
"""
